// Keys of the label page. None fires while somebody types, or behind an open sheet. The character decides
// where it is one of ours; only where it is none, as on a Cyrillic or Greek keyboard, the place of the key.
import { toggleContext, toggleRaw } from "./label-views.js";

const $ = (id) => document.getElementById(id);
const TYPING = "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio])";
const REPEATING = new Set(["down", "up"]);
const ON_SHEETS = new Set(["guidelines", "help", "skip"]); // what opened one closes it
const NAMED = new Set(["Enter", "Backspace"]); // of the controls, whoever chose which keys
const PAGES = { PageDown: 0.9, PageUp: -0.9 }; // heights of a side
const NAMELESS = new Set(["Unidentified", "Process", "Dead"]); // keys of which no character is told

function open(id, field) {
  const fold = $(id);
  fold.open = !fold.open || !fold.contains(document.activeElement);
  if (fold.open) fold.querySelector(field).focus();
}

const answers = () => [...document.querySelectorAll("article:not([hidden]) :is(.answer, .several)")];
const moved = new WeakMap(); // where a side was put by us, so that its scroll event is not taken for a person's
let together = true;

function put(side, top) {
  side.scrollTop = top;
  moved.set(side, side.scrollTop);
}

function scroll(step) {
  for (const side of answers()) put(side, side.scrollTop + step * side.clientHeight);
}

// Where the page itself does not scroll and no part of it was chosen, a page of the answers is meant.
function turnsPage({ key, target }) {
  const page = document.scrollingElement;
  return Boolean(PAGES[key]) && page.scrollHeight <= page.clientHeight && !target.closest("article");
}

// Equal heights of text stand side by side; a side at its end waits for the longer one.
function follow({ target }) {
  if (moved.get(target) === target.scrollTop) return;
  moved.delete(target);
  const sides = together ? answers() : [];
  if (sides.includes(target)) for (const side of sides) if (side !== target) put(side, target.scrollTop);
}

// The character that a key has at its place on a keyboard with Latin letters.
function characterAt({ code, shiftKey }) {
  if (code === "Slash" && shiftKey) return "?";
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(code)?.[1];
  if (digit) return shiftKey ? "" : digit;
  return /^Key([A-Z])$/.exec(code)?.[1].toLowerCase() ?? "";
}

// The one of `ours` (character → action) that was pressed, or "".
export function keyOf(event, ours) {
  const key = event.key.toLowerCase();
  if (Object.hasOwn(ours, key)) return key;
  const told = [...key].length === 1 || NAMELESS.has(event.key);
  if (!told || event.getModifierState?.("AltGraph")) return "";
  const place = characterAt(event);
  return Object.hasOwn(ours, place) ? place : "";
}

// Keys of another sheet's buttons are digits: they count by place too.
function press(sheet, event) {
  const buttons = [...(sheet?.querySelectorAll("[data-key]") ?? [])];
  const byKey = Object.fromEntries(buttons.map((button) => [button.dataset.key, button]));
  const key = keyOf(event, byKey);
  byKey[key]?.click();
  return Boolean(key);
}

export function listen({ chosen, press: pressed, pressNamed, repeat, undo, skip }) {
  const acts = {
    undo,
    skip,
    flags: () => open("flags", "input"),
    why: () => open("why", "textarea"),
    guidelines: () => $("guidelines").togglePopover(),
    help: () => $("keys").togglePopover(),
    down: () => scroll(0.5),
    up: () => scroll(-0.5),
    together: () => { together = !together; },
    raw: toggleRaw,
    context: toggleContext,
  };
  const ours = Object.fromEntries(Object.entries(chosen).map(([action, key]) => [key, action]));

  document.addEventListener("scroll", follow, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const typing = event.target.closest(TYPING);
    if (typing?.closest("#dock") && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!event.repeat && !pressNamed("Enter")) repeat();
      return;
    }
    // A held Enter presses a focused button again and again.
    if (event.repeat && event.key === "Enter" && event.target.closest("button, summary")) event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const sheet = document.querySelector(":popover-open");
    if (!sheet && turnsPage(event)) {
      event.preventDefault();
      return scroll(PAGES[event.key]);
    }
    if (!Object.keys(ours).length) return; // switched off
    if (!event.repeat && press(sheet, event)) return event.preventDefault();
    if (NAMED.has(event.key)) {
      const own = event.key === "Enter" && event.target.closest("button, summary, a");
      if (!own && !sheet && !event.repeat && pressNamed(event.key)) event.preventDefault();
      return;
    }
    const action = ours[keyOf(event, ours)];
    if (!action || (sheet && !ON_SHEETS.has(action)) || (event.repeat && !REPEATING.has(action))) return;
    event.preventDefault();
    if (acts[action]) acts[action]();
    else pressed(action); // a key of this kind of task
  });
}
