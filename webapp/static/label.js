// The label page: a key decides, the next card is already here, the answer is saved behind it.
import { answer } from "./label-answer.js";
import * as cards from "./label-cards.js";
import { listen } from "./label-keys.js";
import { openOutbox } from "./outbox.js";

const $ = (id) => document.getElementById(id);
const dock = $("dock");
const history = []; // answered on this page, newest last: { card, fields }
const KEPT = 50;
const outbox = openOutbox({ form: dock, extra: present, onAnswer: receive, onChange: tally, onRefusal: cards.say, onForeign: foreign });

const onTheirWay = () => outbox.pending().map((fields) => fields.assignment).filter(Boolean);
const unsaved = () => outbox.pending().filter((fields) => "choice" in fields);

// What the server must know to send only fresh cards: those here, and those on their way to it.
function present() {
  const have = [...new Set([...cards.ids(), ...onTheirWay()])].join(",");
  return { have, shown: cards.shown()?.dataset.assignment ?? "" };
}

function receive(html) {
  cards.receive(html, new Set(onTheirWay()));
}

// crypto.randomUUID is missing where the page is not served over HTTPS or from this machine.
function uuid() {
  const template = "10000000-1000-4000-8000-100000000000";
  const digit = (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16);
  return crypto.randomUUID?.() ?? template.replace(/[018]/g, digit);
}

function decide(choice) {
  const card = cards.shown();
  if (!card) return;
  const fields = { ...answer(), client_id: uuid(), choice };
  history.push({ card, fields });
  if (history.length > KEPT) history.shift();
  cards.say("");
  cards.take(card);
  outbox.add(fields);
}

function skip(reason) {
  const card = cards.shown();
  $("skip").hidePopover();
  if (!card) return;
  const { assignment, rationale, flags } = answer();
  cards.say("");
  cards.take(card);
  outbox.add({ assignment, rationale, flags, skip: reason });
}

// Another tab of the same person answered or skipped a pair that is here too.
function foreign({ assignment, choice, skip: skipped }) {
  if (choice === undefined && skipped === undefined) return;
  cards.lose(assignment, "You decided about that pair in another tab. Here is another one.");
  cards.settle(false);
}

function undo() {
  const last = history.pop();
  const id = last?.fields.client_id ?? unsaved().at(-1)?.client_id ?? cards.counts().last;
  if (!id) return;
  cards.counts().last = "";
  if (last) cards.putBack(last.card, last.fields);
  outbox.add({ undo: id, assignment: last?.fields.assignment ?? "" });
}

function tally({ count, failing, blocked }) {
  const { waiting, today, last } = cards.counts();
  const more = unsaved().length;
  $("today").textContent = Number(today) + more;
  $("waiting").textContent = Number(waiting) >= 1000 ? "1000+" : Math.max(0, waiting - more);
  $("undo").disabled = !history.length && !more && !last;
  $("saved").textContent = blocked || failing ? `${count} unsent` : count ? "saving…" : "saved ✓";
  if (blocked) cards.say("You seem to be signed out. Your answers are kept in this browser: reload this page and sign in to send them.");
  cards.settle(count === 0);
}

dock.addEventListener("submit", (event) => {
  event.preventDefault();
  const { name, value } = event.submitter;
  ({ choice: () => decide(value), undo, skip: () => skip(value) })[name]?.();
});
listen({ decide, undo, skip: () => cards.shown() && $("skip").togglePopover() });
document.addEventListener("visibilitychange", () => { if (!document.hidden) outbox.renew(); });
setInterval(() => { if (!document.hidden) outbox.renew(); }, 60_000);

const busy = new Set(onTheirWay()); // answered before a reload, not yet stored
cards.begin(busy);
if (outbox.pending().length) outbox.flush();
dock.dataset.ready = "";
