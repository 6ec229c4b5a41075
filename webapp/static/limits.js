// Texts with a limit: nothing that somebody pastes is cut off in silence. The browser's own limit goes, a
// counter says how far it is, and what is too long cannot be sent until it is shorter.
import { fill, gettext } from "./words.js";

const SHORT = 20; // a field of fewer characters shows by itself what it holds
const NEAR = 0.9; // of the limit: from here on the counter shows
const TOO_LONG = gettext("%(length)s of %(limit)s characters: %(over)s too many. Nothing was cut off; shorten it " +
  "before you send it.");
const figure = (number) => number.toLocaleString(document.documentElement.lang);

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
  const figures = { length: figure(box.value.length), limit: figure(limit), over: figure(over) };
  const near = box.value.length > NEAR * limit ? gettext("%(length)s of %(limit)s characters") : "";
  const words = fill(over > 0 ? TOO_LONG : near, figures);
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
