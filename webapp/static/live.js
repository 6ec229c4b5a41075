// Regions that refresh themselves: they rest while nobody looks or while somebody reads further up
// in a log, and tables stay scrolled where they were. Focus stays by itself where elements have ids.
const BOTTOM = 24; // px that still count as the end
const scrolled = new Map(); // by id: how far to the right

function atEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < BOTTOM;
}

function showEnd(log) {
  if (log) log.scrollTop = log.scrollHeight;
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const polled = event.target.getAttribute("hx-trigger")?.startsWith("every");
  const reading = event.target.matches(".log") && !atEnd(event.target);
  if (polled && (document.hidden || reading)) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  for (const box of event.target.querySelectorAll(".scroll[id]")) scrolled.set(box.id, box.scrollLeft);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.matches(".log")) showEnd(event.target);
  for (const box of event.target.querySelectorAll(".scroll[id]")) {
    box.scrollLeft = scrolled.get(box.id) ?? 0;
  }
});
showEnd(document.querySelector(".log"));
