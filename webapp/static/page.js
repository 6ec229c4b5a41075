// What every page needs: the theme switch, open menus that close on Escape or a click elsewhere, a
// navigation that shows where one is although it is wider than a phone, a question before what cannot be
// undone, and a word where a part of the page could not be brought up to date.
import "./limits.js";
import * as store from "./store.js";
import { gettext } from "./words.js";

const root = document.documentElement;

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-switch]")) {
    const dark = getComputedStyle(root).colorScheme === "dark" ||
      (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset.theme = dark ? "light" : "dark";
    store.write("theme", root.dataset.theme);
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

const STALE = gettext("This page could not be brought up to date; what it shows may be old. Is the connection there? " +
  "Reload it to look again.");

const silent = new Map(); // parts of the page, by id, whose last look failed: what is said of it

// Who asked: an element that was swapped away meanwhile is not where the event is heard.
function whose(event) {
  return (event.detail.requestConfig?.elt ?? event.detail.elt).id;
}

function tellStale() {
  const there = document.getElementById("stale");
  if (!silent.size) return there?.remove();
  const notice = there ?? Object.assign(document.createElement("p"), { id: "stale", className: "notice" });
  notice.dataset.kind = "warning";
  notice.textContent = [...silent.values()].at(-1);
  if (!there) document.getElementById("messages")?.append(notice);
}

// The server's own words, where it says what the matter is.
function told({ detail }) {
  try {
    return JSON.parse(detail.xhr.responseText).error;
  } catch {
    return null;
  }
}

function failed(event) {
  silent.set(whose(event), told(event) || STALE);
  tellStale();
}

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, failed);
}
document.addEventListener("htmx:beforeSwap", (event) => {
  // Whoever was signed out meanwhile would get the form of another page in the middle of this one.
  if (new URL(event.detail.xhr.responseURL || location.href).pathname.startsWith("/accounts/login")) {
    event.detail.shouldSwap = false;
    if (event.detail.requestConfig.verb === "get") location.reload();
    else failed(event); // what was typed stays
  }
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && silent.delete(whose(event))) tellStale();
});
