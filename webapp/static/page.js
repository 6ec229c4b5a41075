// What every page needs: the theme switch, open menus that close on Escape or a click elsewhere, a
// navigation that shows where one is although it is wider than a phone, a question before what cannot be
// undone, and a word where a part of the page could not be brought up to date.
const root = document.documentElement;

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-switch]")) {
    const dark = getComputedStyle(root).colorScheme === "dark" ||
      (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  }
  for (const menu of document.querySelectorAll("details.switcher[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.switcher[open]")) menu.open = false;
});

document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

const STALE = "This page could not be brought up to date; what it shows may be old. Is the connection there? Reload it to look again.";

function tellStale(stale) {
  const there = document.getElementById("stale");
  if (!stale) return there?.remove();
  if (there) return;
  const notice = Object.assign(document.createElement("p"), { id: "stale", className: "notice", textContent: STALE });
  notice.dataset.kind = "warning";
  document.getElementById("messages")?.append(notice);
}

for (const failed of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failed, () => tellStale(true));
}
document.addEventListener("htmx:beforeSwap", (event) => {
  // Whoever was signed out meanwhile would get the form of another page in the middle of this one.
  if (new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/accounts/login")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});
document.addEventListener("htmx:afterSwap", () => tellStale(false));
