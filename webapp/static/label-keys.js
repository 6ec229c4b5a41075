// Keys of the label page. None fires while somebody types, or behind an open sheet.
const $ = (id) => document.getElementById(id);
const TYPING = "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio])";

function open(id, field) {
  const fold = $(id);
  fold.open = !fold.open || !fold.contains(document.activeElement);
  if (fold.open) fold.querySelector(field).focus();
}

const answers = () => [...document.querySelectorAll("article:not([hidden]) .answer")];
const moved = new WeakMap(); // where a side was put by us, so that its scroll event is not taken for a person's
let together = true;

function put(side, top) {
  side.scrollTop = top;
  moved.set(side, side.scrollTop);
}

function scroll(step) {
  for (const side of answers()) put(side, side.scrollTop + step * side.clientHeight);
}

// Equal heights of text stand side by side; a side at its end waits for the longer one.
function follow({ target }) {
  if (moved.get(target) === target.scrollTop) return;
  moved.delete(target);
  const sides = together ? answers() : [];
  if (sides.includes(target)) for (const side of sides) if (side !== target) put(side, target.scrollTop);
}

export function listen({ decide, undo, skip }) {
  const keys = {
    u: undo,
    x: skip,
    f: () => open("flags", "input"),
    w: () => open("why", "textarea"),
    g: () => $("guidelines").togglePopover(),
    "?": () => $("keys").togglePopover(),
    j: () => scroll(0.5),
    k: () => scroll(-0.5),
    s: () => { together = !together; },
  };
  for (const choice of "01234567") keys[choice] = () => decide(choice);

  document.addEventListener("scroll", follow, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest(TYPING)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    // Keyboards on which digits need Shift still have the digit row.
    const digit = /^Digit([0-7])$/.exec(event.code)?.[1];
    const key = !event.shiftKey && digit ? digit : event.key.toLowerCase();
    const sheet = document.querySelector(":popover-open");
    if (event.repeat && !"jk".includes(key)) return;
    const press = sheet?.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (press) return press.click();
    if (!keys[key] || (sheet && !"g?x".includes(key))) return;
    event.preventDefault();
    keys[key]();
  });
}
