// The cards in the page: one is shown, the next ones wait hidden behind it.
const $ = (id) => document.getElementById(id);
const [cards, dock, rationale, notice] = [$("cards"), $("dock"), $("rationale"), $("label-notice")];
const clock = { seen: 0, since: 0 };
const draftOf = (id) => `attune:draft:${id}`;
const boxes = () => [...dock.querySelectorAll("[name=flags]")];
const cardOf = (id) => cards.querySelector(`article[data-assignment="${Number(id)}"]`);

export const shown = () => cards.querySelector("article:not([hidden])");
export const counts = () => cards.dataset;
export const ids = () => [...cards.children].map((card) => card.dataset.assignment);

export function say(words) {
  $("messages").replaceChildren();
  notice.textContent = words;
  notice.hidden = !words;
}

// Visible time only: the clock stands while the tab is hidden.
export function look(visible) {
  if (clock.since) clock.seen += performance.now() - clock.since;
  clock.since = visible ? performance.now() : 0;
}

// What the person has put in for the shown card.
export function answer() {
  look(!document.hidden);
  const flags = boxes().filter((box) => box.checked).map((box) => box.value);
  const { assignment } = shown().dataset;
  return { assignment, rationale: rationale.value, flags, visible_ms: Math.round(clock.seen) };
}

// Bring a card to the front, with what was put in for it before.
export function show(card, before = {}) {
  const { assignment } = card.dataset;
  for (const other of cards.children) other.hidden = other !== card;
  dock.elements.assignment.value = assignment;
  rationale.value = before.rationale ?? localStorage.getItem(draftOf(assignment)) ?? "";
  if (rationale.value) $("why").open = true;
  for (const box of boxes()) box.checked = before.flags?.includes(box.value) ?? false;
  if ($("view-b").checked) $("view-a").checked = true;
  Object.assign(clock, { seen: 0, since: document.hidden ? 0 : performance.now() });
}

export function putBack(card, before) {
  cards.prepend(card);
  show(card, before);
}

// Show the next card if none is shown; the keyboard stays in the same region.
export function settle(idle) {
  const next = cards.firstElementChild;
  if (!shown() && next) show(next);
  dock.toggleAttribute("data-empty", !next);
  $("nothing").hidden = Boolean(next) || !idle;
}

export function take(card) {
  const focused = [...card.querySelectorAll("[tabindex]")].indexOf(document.activeElement);
  localStorage.removeItem(draftOf(card.dataset.assignment));
  card.remove();
  settle(false);
  shown()?.querySelectorAll("[tabindex]")[focused]?.focus({ preventScroll: true });
}

// The server's answer: counts, cards that are lost, fresh ones. `busy`: answers still on their way.
export function receive(html, busy) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("cards");
  if (!fresh) return;
  const { waiting, today, last, lost, undone } = fresh.dataset;
  Object.assign(cards.dataset, { waiting, today, last });
  for (const id of lost.split(",").filter((each) => each && !busy.has(each))) lose(cardOf(id));
  for (const card of [...fresh.children]) {
    const id = card.dataset.assignment;
    if (busy.has(id) || cardOf(id)) continue;
    card.hidden = true;
    cards.append(card);
    if (id === undone) putBack(card);
  }
}

// A lease is gone: another card takes its place, unless something was typed that would be lost.
function lose(card) {
  if (!card || (card === shown() && rationale.value)) return;
  if (card === shown()) say("That pair was answered or given to somebody else while you were away. Here is another one.");
  card.remove();
}

// At the start the server's first card is shown, unless its answer is still on its way.
export function begin(busy) {
  for (const id of busy) cardOf(id)?.remove();
  if (cards.firstElementChild) show(cards.firstElementChild);
  else settle(busy.size === 0);
}

rationale.addEventListener("input", () => localStorage.setItem(draftOf(shown().dataset.assignment), rationale.value));
document.addEventListener("visibilitychange", () => look(!document.hidden));
