// The label page: a key decides, the next card is already here, the answer is saved behind it. A card leaves
// only when its answer is safe: kept by this browser, or else stored by the server.
import { openAnswered } from "./answered.js";
import { download } from "./answers-file.js";
import * as delivery from "./delivery.js";
import * as put from "./label-answer.js";
import * as cards from "./label-cards.js";
import * as kinds from "./label-kinds.js";
import { listen } from "./label-keys.js";
import * as seen from "./label-seen.js";
import { openOutbox } from "./outbox.js";
import { fill, gettext } from "./words.js";

const $ = (id) => document.getElementById(id);
const dock = $("dock");
const leastSeen = Number(dock.dataset.minVisible);
const FLAGS = "attune:flags";
const history = keptFlags(); // what was done on this page, newest last: {card, fields}, or {flag, assignment, checked}
const KEPT = 50;
const HINT = 2500; // ms
let last = null; // what was pressed last, for Ctrl+Enter: {kind, pressed}
let held = null; // fields of an answer that is safe nowhere yet: its card stays
const answered = openAnswered(dock);
const outbox = openOutbox({
  form: dock,
  extra: present,
  onAnswer: receive,
  onChange: tally,
  onStored: settle,
  onForeign: foreign,
});

const refusedIds = () => outbox.refused().map(({ fields }) => fields.assignment);
// A refused answer is not on its way: its card may be shown, to mend it.
const onTheirWay = () => {
  const sent = outbox.entries().filter((entry) => !entry.refusal);
  return sent.map(({ fields }) => fields.assignment).filter(Boolean);
};
const unsaved = () => outbox.pending().filter((fields) => fields.client_id && fields.skip === undefined);

// What the server must know to send only fresh cards: those here, those on their way, those to be mended.
function present() {
  const have = [...new Set([...cards.ids(), ...onTheirWay()])].slice(0, 200).join(",");
  const want = [...new Set(refusedIds())].filter((id) => id && !cards.cardOf(id)).slice(0, 4).join(",");
  return { have, want, shown: cards.shown()?.dataset.assignment ?? "" };
}

function receive(html) {
  const busy = new Set(onTheirWay());
  if (held) busy.delete(held.assignment);
  const { undone } = html.getElementById("cards").dataset;
  if (undone) answered.remove(undone);
  cards.receive(html, busy);
}

// crypto.randomUUID is missing where the page is not served over HTTPS or from this machine.
function uuid() {
  const template = "10000000-1000-4000-8000-100000000000";
  const digit = (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16);
  return crypto.randomUUID?.() ?? template.replace(/[018]/g, digit);
}

// A quiet word that goes by itself.
let hinting = 0;
function hint(words) {
  clearTimeout(hinting);
  $("hint").textContent = words;
  hinting = setTimeout(() => { $("hint").textContent = ""; }, HINT);
}

function remember(act) {
  history.push(act);
  if (history.length > KEPT) history.shift();
  keepFlags();
}

// Flags set since the last answer are undone after a reload too; the answer itself the server knows.
function keepFlags() {
  const since = history.slice(history.findLastIndex((act) => !act.flag) + 1);
  try {
    sessionStorage.setItem(FLAGS, JSON.stringify(since));
  } catch { /* they are undone by hand */ }
}

function keptFlags() {
  try {
    return [JSON.parse(sessionStorage.getItem(FLAGS))].flat().filter((act) => act?.flag);
  } catch {
    return [];
  }
}

// Send what was done about a card; the card goes if that is safe, and stays until it is.
function finish(card, fields) {
  const mended = outbox.refused().filter((entry) => entry.fields.assignment === fields.assignment);
  if (mended.length) outbox.drop(mended);
  remember({ card, fields });
  cards.say("");
  if (outbox.add(fields)) return cards.take(card, outbox.state());
  held = fields;
  cards.say(
    gettext(
      "This browser keeps nothing (its storage is full or refused), so the task stays until the server has " +
        "stored your answer.",
    ),
  );
}

// The server has stored it.
function settle(fields) {
  if (fields.assignment && !fields.undo) answered.add(fields.assignment);
  release(fields);
}

// The card that stayed for it may go.
function release({ client_id: id, assignment }) {
  if (!held || held.client_id !== id) return;
  const card = cards.cardOf(assignment);
  const more = card && card === cards.shown() && put.changed(held);
  held = null;
  const since = gettext("Your answer is stored. What you put in since is not part of it: choose again to add it.");
  cards.say(more ? since : "");
  if (card && !more) cards.take(card, outbox.state());
}

// The pressed button's field, with what is filled in beside it, answers the shown card.
function decide(pressed) {
  const card = cards.shown();
  if (!card) return;
  if (held) return hint(gettext("still being stored: nothing more was answered"));
  const unseen = seen.missing(card.dataset.assignment, leastSeen);
  if (unseen) return hint(unseen);
  const said = { ...kinds.answer(), ...pressed };
  const lacking = kinds.lacking(said);
  if (lacking) return hint(lacking);
  const unreasoned = put.unreasoned();
  if (unreasoned) return hint(unreasoned);
  last = { kind: card.dataset.kind, pressed };
  const wrong = put.wrong();
  if (wrong) return cards.say(wrong);
  finish(card, { ...put.answer(), client_id: uuid(), ...said });
}

function repeat() {
  if (last === null || last.kind !== cards.shown()?.dataset.kind) {
    return hint(gettext("Choose once with a key or a button first"));
  }
  decide(last.pressed);
}

function skip(reason) {
  const card = cards.shown();
  $("skip").hidePopover();
  if (!card || held) return;
  const wrong = put.wrong();
  if (wrong) return cards.say(wrong);
  const { visible_ms: _, ...written } = put.answer();
  finish(card, { ...written, client_id: uuid(), skip: reason });
}

// Another tab of the same person answered or skipped a pair that is here too.
function foreign({ assignment, client_id: id }) {
  if (!id) return; // it was undone
  cards.counts().last = id;
  cards.lose(assignment, gettext("You decided about that task in another tab. Here is another one."));
  cards.settle(outbox.state());
}

// Take back what was done last: an answer, a skip, or a flag of the shown card.
function undo() {
  if (held) return hint(gettext("still being stored"));
  const act = history.pop();
  if (act?.flag) return undoFlag(act);
  const undone = new Set(outbox.pending().map((fields) => fields.undo).filter(Boolean));
  const waiting = outbox.pending().filter((fields) => fields.client_id && !undone.has(fields.client_id)).at(-1);
  const id = act?.fields.client_id ?? waiting?.client_id ?? cards.counts().last;
  if (!id && undone.size) return hint(gettext("still being undone: press again in a moment"));
  if (!id) return hint(gettext("nothing to undo"));
  if (!act && outbox.refused().some(({ fields }) => fields.client_id === id)) return mend();
  cards.counts().last = "";
  if (act) cards.putBack(act.card, act.fields);
  if (!outbox.withdraw(id)) outbox.add({ undo: id, assignment: act?.fields.assignment ?? "" });
}

function undoFlag({ flag, assignment, checked }) {
  if (cards.shown()?.dataset.assignment !== assignment) return undo();
  put.setFlag(flag, !checked);
  keepFlags();
  tally(outbox.state());
}

function tally(state) {
  if (held && state.refused.some(({ fields }) => fields.client_id === held.client_id)) held = null; // to be mended
  const { waiting, today, last: newest } = cards.counts();
  const more = unsaved().length;
  $("today").textContent = Number(today) + more;
  $("waiting").textContent = waiting >= cards.MOST ? `${cards.MOST}+` : Math.max(0, waiting - more);
  $("undo").disabled = !history.length && !state.count && !newest;
  $("saved").textContent = state.count && (state.failing || state.refused.length || !navigator.onLine)
    ? fill(gettext("%(count)s unsent"), state) : state.count ? gettext("saving…") : gettext("saved ✓");
  delivery.show(state);
  cards.settle(state);
}

// Bring the pair of a refused answer back with what was put in for it, from the server if need be.
async function mend() {
  const [{ fields }] = outbox.refused();
  const isIt = (act) => act.card?.dataset.assignment === fields.assignment;
  const here = () => cards.cardOf(fields.assignment) ?? history.find(isIt)?.card;
  if (!here()) await outbox.renew();
  if (here()) return cards.putBack(here(), { ...fields, ...put.kept(fields.assignment) });
  cards.say(gettext("The task of that answer cannot be shown any more. Download the answer to keep its words."));
}

function discard() {
  const refused = outbox.refused();
  const asked = fill(gettext("Discard %(length)s refused for good? Download them first if in doubt."), refused);
  if (confirm(asked)) outbox.drop(refused);
}

dock.addEventListener("click", (event) => {
  // The second click of a double click was not meant for the next pair.
  if (event.detail > 1 && event.target.closest("[data-kind] button:not([type=button])")) {
    event.preventDefault();
    hint(gettext("too quick: nothing was answered"));
  }
}, true);
dock.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button.closest("[data-kind]")) decide(button.name ? { [button.name]: button.value } : {});
  else ({ undo, skip: () => skip(button.value) })[button.name]?.();
});
put.onFlag((assignment, flag, checked) => {
  remember({ flag, assignment, checked });
  $("undo").disabled = false;
});
delivery.listen({ again: outbox.again, mend, download: () => download(outbox.entries()), discard });
const openSkip = () => { if (cards.shown() && !held) $("skip").togglePopover(); };
const { press, pressNamed } = kinds;
listen({ chosen: JSON.parse(dock.dataset.keys), press, pressNamed, repeat, undo, skip: openSkip });
document.addEventListener("visibilitychange", () => { if (!document.hidden) outbox.renew(); });
addEventListener("offline", () => tally(outbox.state()));
addEventListener("online", () => tally(outbox.state()));
setInterval(() => { if (!document.hidden) outbox.renew(); }, 60_000);

const stale = answered.ids().filter(cards.cardOf); // this page was made before their answers were stored
cards.begin(new Set([...onTheirWay(), ...stale]), outbox.state()); // answered before a reload
put.sync();
if (outbox.pending().length) outbox.again();
else if (stale.length) outbox.renew();
dock.dataset.ready = "";
