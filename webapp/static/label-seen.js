// How long each card was seen: the time in which its page was visible and each of its texts was on the
// screen, by a clock that is never set. It adds up, also over a reload. An answer needs texts that were seen.
import { isVeiled } from "./label-veil.js";
import { fill, gettext } from "./words.js";

const PREFIX = "attune:seen:";
const LONG_AGO = 1e9; // ms
const TWO_LINES = 44; // px
const times = new Map(); // by assignment: ms by side, and "shown"
let current = null; // {id, since, visible: Set of sides}

function kept(id) {
  const time = { shown: 0 };
  try {
    const before = JSON.parse(sessionStorage.getItem(PREFIX + id)) ?? {};
    for (const name in before) if (Number.isFinite(before[name])) time[name] = before[name];
  } catch { /* it counts anew */ }
  return time;
}

function keep(id, time) {
  try {
    sessionStorage.setItem(PREFIX + id, JSON.stringify(time));
  } catch { /* it counts anew after a reload */ }
}

function timeOf(id) {
  if (!times.has(id)) times.set(id, kept(id));
  return times.get(id);
}

// Add what has passed since the last look.
function tick() {
  if (!current) return;
  const now = performance.now();
  const time = timeOf(current.id);
  if (current.running) {
    const passed = Math.max(0, now - current.since);
    time.shown += passed;
    for (const side of current.visible) time[side] = (time[side] ?? 0) + passed;
  }
  current.since = now;
}

// How many pixels of an element are to be seen, by itself and within whatever scrolls around it.
function visibleHeight(element) {
  let { top, bottom } = element.getBoundingClientRect();
  for (const box of [element.closest(".answer"), element.closest(".answers"), element.closest(".task")]) {
    const frame = box?.getBoundingClientRect();
    if (frame) [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
  }
  return Math.min(bottom, innerHeight) - Math.max(top, 0);
}

// Two lines of an answer, or all of a shorter one.
function isVisible(text) {
  const { height } = text.getBoundingClientRect();
  return height > 0 && !isVeiled(text.closest(".task")) && visibleHeight(text) >= Math.min(height, TWO_LINES) - 1;
}

// Look again which answers are on the screen; the time until now belongs to those that were.
function look() {
  tick();
  if (current) current.visible = new Set(current.texts.filter(isVisible).map((text) => text.dataset.side));
}

const observer = new ResizeObserver(look);

// A card comes to the front.
export function begin(card) {
  leave();
  if (!card) return;
  const texts = [...card.querySelectorAll("[data-side]")];
  const id = card.dataset.assignment;
  current = { id, texts, since: performance.now(), running: !document.hidden, visible: new Set() };
  look();
  for (const answer of card.querySelectorAll(".answer")) observer.observe(answer);
}

export function leave() {
  tick();
  if (current) keep(current.id, timeOf(current.id));
  observer.disconnect();
  current = null;
}

// Milliseconds for which the pair was shown.
export function visible(id) {
  tick();
  return Math.round(timeOf(id).shown);
}

// What was answered once, or read before, needs no second look.
export function known(card) {
  const time = timeOf(card.dataset.assignment);
  for (const { dataset } of card.querySelectorAll("[data-side]")) time[dataset.side] = LONG_AGO;
}

// Why an answer would be an unseen one; "" where it would not.
export function missing(id, least) {
  look();
  const time = timeOf(id);
  const texts = current?.id === id ? current.texts.map(({ dataset }) => dataset) : [];
  const seen = ({ side }) => time[side] > 0 || current.visible.has(side);
  const hidden = texts.find((text) => !seen(text));
  if (hidden) return fill(gettext("Look at %(name)s first: nothing was answered"), hidden);
  const left = least - Math.min(...(texts.length ? texts.map(({ side }) => time[side] ?? 0) : [time.shown]));
  if (left <= 0) return "";
  if (left < 1000) return gettext("too quick: nothing was answered");
  return fill(gettext("too quick: look %(seconds)s s more; nothing was answered"), { seconds: Math.ceil(left / 1000) });
}

addEventListener("scroll", look, { capture: true, passive: true });
addEventListener("resize", look);
document.addEventListener("change", look);
document.addEventListener("visibilitychange", () => {
  tick();
  if (current) current.running = !document.hidden;
});
addEventListener("pagehide", () => {
  tick();
  if (current) keep(current.id, timeOf(current.id));
});
