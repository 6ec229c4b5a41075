// Regions that refresh themselves rest while nobody looks or while somebody reads further up.
const BOTTOM = 24; // px that still count as the end

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
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.matches(".log")) showEnd(event.target);
});
showEnd(document.querySelector(".log"));
