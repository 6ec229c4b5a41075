// Texts with a limit: nothing that somebody pastes is cut off in silence. The browser's own limit goes, a
// counter says how far it is, and what is too long cannot be sent until it is shorter.
const SHORT = 20; // a field of fewer characters shows by itself what it holds
const NEAR = 0.9; // of the limit: from here on the counter shows
const figure = (number) => number.toLocaleString("en");

function counterOf(box) {
  const id = `${box.id || box.name}-count`;
  const there = document.getElementById(id);
  if (there) return there;
  const made = Object.assign(document.createElement("p"), { id, className: "help count" });
  made.setAttribute("role", "status");
  box.after(made);
  return made;
}

function count(box) {
  const limit = Number(box.dataset.limit);
  const over = box.value.length - limit;
  const words = over > 0
    ? `${figure(box.value.length)} of ${figure(limit)} characters: ${figure(over)} too many. Nothing was cut off; shorten it before you send it.`
    : box.value.length > NEAR * limit ? `${figure(box.value.length)} of ${figure(limit)} characters` : "";
  if (words || document.getElementById(`${box.id || box.name}-count`)) {
    const counter = counterOf(box);
    counter.textContent = words;
    counter.classList.toggle("over", over > 0);
  }
  box.setCustomValidity(over > 0 ? words : "");
}

function prepare(box) {
  if (!(box.maxLength > SHORT)) return;
  box.dataset.limit = box.maxLength;
  box.removeAttribute("maxlength");
  count(box);
}

function look({ target }) {
  if (!target.matches?.("textarea, input")) return;
  prepare(target);
  if (target.dataset.limit) count(target);
}

for (const box of document.querySelectorAll("textarea[maxlength], input[maxlength]")) prepare(box);
for (const name of ["focusin", "input", "refill"]) document.addEventListener(name, look);
