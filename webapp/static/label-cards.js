// The cards in the page: one is shown, the next ones wait hidden behind it.
import * as put from "./label-answer.js";

const $ = (id) => document.getElementById(id);
const [cards, dock, notice] = [$("cards"), $("dock"), $("label-notice")];
const AWAY = "That pair was answered or given to somebody else while you were away. Here is another one.";
const cardOf = (id) => cards.querySelector(`article[data-assignment="${Number(id)}"]`);

export const shown = () => cards.querySelector("article:not([hidden])");
export const counts = () => cards.dataset;
export const ids = () => [...cards.children].map((card) => card.dataset.assignment);

export function say(words) {
  $("messages").replaceChildren();
  notice.textContent = words;
  notice.hidden = !words;
}

// Bring a card to the front, with what was put in for it before.
function show(card, before) {
  for (const other of cards.children) other.hidden = other !== card;
  put.begin(card, before);
  if ($("view-b").checked) $("view-a").checked = true;
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
  put.forget(card.dataset.assignment);
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
  for (const id of lost.split(",").filter((each) => each && !busy.has(each))) lose(id, AWAY);
  for (const card of [...fresh.children]) {
    const id = card.dataset.assignment;
    if (busy.has(id) || cardOf(id)) continue;
    card.hidden = true;
    cards.append(card);
    if (id === undone) putBack(card);
  }
}

// A lease is gone: another card takes its place, unless something was put in that would be lost.
export function lose(id, why) {
  const card = cardOf(id);
  if (!card || (card === shown() && put.typed())) return;
  if (card === shown()) say(why);
  card.remove();
}

// At the start the server's first card is shown, unless its answer is still on its way.
export function begin(busy) {
  for (const id of busy) cardOf(id)?.remove();
  if (cards.firstElementChild) show(cards.firstElementChild);
  else settle(busy.size === 0);
}
