// How long each pair was seen: the time in which its page was visible and both of its answers were on the
// screen, by a clock that is never set. It adds up, also over a reload. An answer needs a pair that was seen.
const PREFIX = "attune:seen:";
const LONG_AGO = 1e9; // ms
const times = new Map(); // by assignment: {shown, left, right} in ms
let current = null; // {id, since, visible: Set of sides}

function kept(id) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + id));
  } catch {
    return null;
  }
}

function keep(id, time) {
  try {
    sessionStorage.setItem(PREFIX + id, JSON.stringify(time));
  } catch { /* it counts anew after a reload */ }
}

function timeOf(id) {
  if (!times.has(id)) times.set(id, kept(id) ?? { shown: 0, left: 0, right: 0 });
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

const observer = new IntersectionObserver((entries) => {
  tick();
  for (const { target, isIntersecting } of entries) {
    if (target.closest("article")?.dataset.assignment !== current?.id) continue;
    if (isIntersecting) current.visible.add(sideOf(target));
    else current.visible.delete(sideOf(target));
  }
});

// A card comes to the front; null when none is there.
export function begin(card) {
  leave();
  if (!card) return;
  const sides = [...card.querySelectorAll(".answer")];
  const visible = new Set(sides.filter(onScreen).map(sideOf));
  current = { id: card.dataset.assignment, since: performance.now(), running: !document.hidden, visible };
  for (const side of sides) observer.observe(side);
}

const sideOf = (answer) => answer.querySelector("[data-side]").dataset.side;

function onScreen(answer) {
  const { top, bottom, height } = answer.getBoundingClientRect();
  return height > 0 && bottom > 0 && top < innerHeight;
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
  tick();
  const time = timeOf(id);
  const seen = (side) => time[side] > 0 || (current?.id === id && current.visible.has(side));
  const hidden = [["A", "left"], ["B", "right"]].find(([, side]) => !seen(side));
  if (hidden) return `Look at ${hidden[0]} first: nothing was answered`;
  return Math.min(time.left, time.right) >= least ? "" : "too quick: nothing was answered";
}

document.addEventListener("visibilitychange", () => {
  tick();
  if (current) current.running = !document.hidden;
});
addEventListener("pagehide", () => {
  tick();
  if (current) keep(current.id, timeOf(current.id));
});
