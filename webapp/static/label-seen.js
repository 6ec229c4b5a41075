// How long each pair was seen: the time in which its page was visible and both of its answers were on the
// screen, by a clock that is never set. It adds up, also over a reload. An answer needs a pair that was seen.
const PREFIX = "attune:seen:";
const LONG_AGO = 1e9; // ms
const TWO_LINES = 44; // px
const times = new Map(); // by assignment: {shown, left, right} in ms
let current = null; // {id, since, visible: Set of sides}

function kept(id) {
  const time = { shown: 0, left: 0, right: 0 };
  try {
    const before = JSON.parse(sessionStorage.getItem(PREFIX + id)) ?? {};
    for (const name in time) if (Number.isFinite(before[name])) time[name] = before[name];
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
    for (const side of current.visible) time[side] += passed;
  }
  current.since = now;
}

// How many pixels of an element are to be seen, by itself and within whatever scrolls around it.
function visibleHeight(element) {
  let { top, bottom } = element.getBoundingClientRect();
  for (const box of [element.closest(".answer"), element.closest(".answers"), element.closest(".pair")]) {
    const frame = box?.getBoundingClientRect();
    if (frame) [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
  }
  return Math.min(bottom, innerHeight) - Math.max(top, 0);
}

// Two lines of an answer, or all of a shorter one.
function isVisible(text) {
  const { height } = text.getBoundingClientRect();
  return height > 0 && visibleHeight(text) >= Math.min(height, TWO_LINES) - 1;
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
  current = { id: card.dataset.assignment, texts, since: performance.now(), running: !document.hidden, visible: new Set() };
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
export function known(id) {
  Object.assign(timeOf(id), { left: LONG_AGO, right: LONG_AGO });
}

// Why an answer would be an unseen one; "" where it would not.
export function missing(id, least) {
  look();
  const time = timeOf(id);
  const seen = (side) => time[side] > 0 || (current?.id === id && current.visible.has(side));
  const hidden = [["A", "left"], ["B", "right"]].find(([, side]) => !seen(side));
  if (hidden) return `Look at ${hidden[0]} first: nothing was answered`;
  const left = least - Math.min(time.left, time.right);
  if (left <= 0) return "";
  return left < 1000 ? "too quick: nothing was answered" : `too quick: look ${Math.ceil(left / 1000)} s more; nothing was answered`;
}

addEventListener("scroll", look, { capture: true, passive: true });
addEventListener("resize", look);
document.addEventListener("visibilitychange", () => {
  tick();
  if (current) current.running = !document.hidden;
});
addEventListener("pagehide", () => {
  tick();
  if (current) keep(current.id, timeOf(current.id));
});
