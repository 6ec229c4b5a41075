// The cards in the page: one is shown, the next ones wait hidden behind it.
import * as put from "./label-answer.js";
import * as seen from "./label-seen.js";
import { veil } from "./label-veil.js";
import { arrange } from "./label-views.js";
import { fill, gettext } from "./words.js";

const $ = (id) => document.getElementById(id);
const [cards, dock, notice] = [$("cards"), $("dock"), $("label-notice")];
export const MOST = 1000; // pairs that are counted
const AWAY = gettext("That task was answered or given to somebody else while you were away. Here is another one.");
const OLD_FORM = gettext("How this project asks has changed: reload the page to answer by the new form.");
export const cardOf = (id) => cards.querySelector(`article[data-assignment="${Number(id)}"]`);

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
  arrange(card);
  veil(card);
  $("ask-assignment").value = card.dataset.assignment;
  put.begin(card, before);
}

export function putBack(card, before) {
  cards.prepend(card);
  seen.known(card);
  show(card, before);
}

// Show the next card if none is shown; the keyboard stays in the same region. Without one, say why.
export function settle({ count = 0, failing = false, trouble = null } = {}) {
  const next = cards.firstElementChild;
  if (!shown() && next) show(next);
  if (!next) seen.leave();
  dock.toggleAttribute("data-empty", !next);
  const stuck = failing || !navigator.onLine;
  $("nothing").hidden = Boolean(next || count || stuck);
  $("fetching").hidden = Boolean(next || !count || stuck);
  $("stuck").hidden = Boolean(next || !stuck);
  $("stuck").querySelector("h2").textContent = trouble?.status
    ? gettext("Nothing more to show until then") : gettext("No network, nothing more to show");
  $("stuck").querySelector("[data-unsent]").textContent = count
    ? fill(gettext("%(count)s unsent, kept in this browser."), { count }) : "";
}

// The card is done with here: its answer is kept.
export function take(card, state) {
  const focused = [...card.querySelectorAll("[tabindex]")].indexOf(document.activeElement);
  put.forget(card.dataset.assignment);
  card.remove();
  settle(state);
  shown()?.querySelectorAll("[tabindex]")[focused]?.focus({ preventScroll: true });
}

// An answer of ours was stored, and nobody has counted the rest: of more than are counted one less is as many.
function afterAnswer({ waiting, today }) {
  return { waiting: waiting >= MOST ? waiting : Math.max(0, waiting - 1), today: Number(today) + 1 };
}

// The server's answer: counts, cards that are lost, fresh ones. `busy`: answers still on their way.
export function receive(html, busy) {
  const fresh = html.getElementById("cards");
  const { waiting, today, last, lost, undone, notice: told, form } = fresh.dataset;
  Object.assign(cards.dataset, waiting ? { waiting, today, last } : { ...afterAnswer(cards.dataset), last });
  if (form !== dock.elements.form.value) say(OLD_FORM);
  if (told) say(told);
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
export function begin(busy, state) {
  for (const id of busy) cardOf(id)?.remove();
  if (cards.firstElementChild) show(cards.firstElementChild);
  else settle(state);
}
