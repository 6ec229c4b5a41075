// Answers on their way to the server: kept in this browser until the server has acknowledged them by their
// own id, sent in the order in which they were given (by a counter: clocks are set back), again and again
// while the network or the server is away. What the server refuses stays, with the reason, until its
// person has mended or discarded it. Every answer has an id, so a repeat is harmless.
import { tokenOf } from "./csrf.js";
import * as store from "./store.js";
import { fill, gettext } from "./words.js";

const BACKOFF = [1, 2, 4, 8, 15, 30]; // seconds
const SOON = [1, 2, 3, 4]; // seconds, where the server or its database is away and comes back by itself
const AWAY = new Set([0, 502, 503, 504]);
const LONGEST_WAIT = 300; // seconds, whatever a server asks for
const PATIENCE = 60_000; // ms for one answer of the server
const AGAIN = new Set([408, 425, 429]); // and all from 500 on: what helps is to wait
const CLOSED = new Set([401, 403, 404, 410]); // all further answers would meet the same
const WORDS = {
  0: gettext("No answer from the server: is the connection there?"),
  200: gettext("Something between this page and the server answered in its place: a sign-in of the network, perhaps."),
  401: gettext("You seem to be signed out. Sign in again, in this tab or another."),
  403: gettext("The server did not take it from this page. Reload the page; you may have signed in or out in " +
    "another tab."),
  404: gettext("This project is not open to you any more."),
  408: gettext("The connection was too slow."),
  413: gettext("It is too long for the server, or for something on the way to it. Shorten the reason and send it " +
    "again."),
  429: gettext("The server has too much to do and asks to wait."),
};
const wordsFor = (status) => WORDS[status] ?? fill(status >= 500
  ? gettext("The server could not store it now (%(status)s).")
  : gettext("The server did not accept it (%(status)s)."), { status });
const nameOf = (fields) => fields.undo ?? fields.client_id;

// What came of a request: {status, words, stored, html, wait}.
async function outcomeOf(request, name) {
  const response = await request.catch(() => null);
  if (!response) return { status: 0, words: WORDS[0] };
  const text = await response.text().catch(() => "");
  const sent = response.redirected ? new URL(response.url).pathname : "";
  if (sent.startsWith("/accounts/")) return { status: 401, words: WORDS[401] };
  if (response.ok) {
    const html = new DOMParser().parseFromString(text, "text/html");
    const stored = html.getElementById("cards")?.dataset.receipt === name;
    return stored ? { stored, html } : { status: 200, words: WORDS[200] };
  }
  let told = {};
  try { told = JSON.parse(text) ?? {}; } catch { /* a page of somebody else's */ }
  const wait = Number(response.headers.get("Retry-After"));
  const said = typeof told.error === "string" && told.error;
  return { status: response.status, words: said || wordsFor(response.status), kind: told.kind, wait };
}

export function openOutbox({ form, extra, onAnswer, onChange, onStored, onForeign }) {
  const prefix = `attune:${form.dataset.user}:${new URL(form.action).pathname}:`;
  let sending = false;
  let failures = 0;
  let trouble = null; // why nothing can be sent now: {status, words, kind}
  let timer = 0;
  let counter = 0;
  const mine = new Map(); // what this page gave and has not sent, should somebody clear the storage

  const number = (key) => parseInt(key.slice(prefix.length), 10);
  // One entry a key: two tabs never overwrite each other's.
  const order = (a, b) => number(a) - number(b) || (a < b ? -1 : 1);
  const keys = () => store.keys(prefix).filter((key) => number(key)).sort(order);
  const entryOf = (key) => {
    const entry = store.object(key);
    const fields = entry?.fields ?? entry; // so were they kept once
    return fields && typeof fields === "object" ? { ...entry, fields } : null;
  };
  const entries = () => keys().map((key) => ({ key, ...entryOf(key) })).filter((entry) => entry.fields);
  const put = (key, entry) => {
    mine.set(key, JSON.stringify(entry));
    return store.write(key, mine.get(key));
  };
  const take = (key) => {
    mine.delete(key);
    store.remove(key);
  };
  const pending = () => entries().map((entry) => entry.fields);
  const refused = () => entries().filter((entry) => entry.refusal);
  const state = () => ({
    count: entries().length, failing: failures > 0, trouble, refused: refused(), fragile: store.fragile(),
  });

  // The first that may go: nothing about a pair overtakes an answer to it that was refused.
  function next() {
    const stuck = new Set(refused().map((entry) => entry.fields.assignment));
    return entries().find((entry) => !entry.refusal && !stuck.has(entry.fields.assignment));
  }

  // Whether the entry is safe in this browser; where it is not, the page must stay until it is stored.
  function add(fields) {
    counter = Math.max(counter, ...keys().map(number)) + 1;
    const name = `${String(counter).padStart(15, "0")}:${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const kept = put(prefix + name, { fields });
    queueMicrotask(flush); // the page shows the next card first
    onChange(state());
    return kept;
  }

  function post(fields) {
    const body = new FormData();
    const all = { ...fields, ...extra(), as: form.dataset.user, csrfmiddlewaretoken: tokenOf(form) };
    for (const [name, value] of Object.entries(all)) {
      for (const item of [value].flat()) body.append(name, item ?? "");
    }
    const signal = AbortSignal.timeout(PATIENCE); // a repeat is harmless
    return fetch(form.action, { method: "POST", body, signal, headers: { "HX-Request": "true" } });
  }

  // Whether the next one may be tried.
  async function deliver({ key, fields }) {
    const outcome = await outcomeOf(post(fields), nameOf(fields));
    if (outcome.stored) {
      take(key);
      [failures, trouble] = [0, null];
      onStored(fields);
      onAnswer(outcome.html);
      return true;
    }
    const { status } = outcome;
    if (status >= 400 && status < 500 && !AGAIN.has(status) && !CLOSED.has(status)) {
      const refusal = { status, words: outcome.words };
      if (store.read(key)) put(key, { fields, refusal });
      [failures, trouble] = [0, null];
      return true;
    }
    stop(outcome);
    return false;
  }

  // Later, by ourselves: soon where waiting helps, each minute where a person must do something.
  function stop({ status, words, kind, wait }) {
    // A deactivated person's session is gone after the first answer that says so.
    const known = trouble?.kind === "deactivated" && kind === "signed_out";
    if (!known) trouble = { status, words, kind };
    const pauses = AWAY.has(status) ? SOON : BACKOFF;
    const pause = CLOSED.has(status) ? 60 : pauses[Math.min(failures, pauses.length - 1)];
    const apart = AWAY.has(status) ? 0.2 * pause * Math.random() : 0; // not all pages at once
    failures += 1;
    timer = setTimeout(flush, 1000 * (apart + Math.min(Math.max(wait || 0, pause), LONGEST_WAIT)));
  }

  async function flush() {
    if (sending) return;
    clearTimeout(timer);
    sending = true;
    try {
      for (let entry = next(); entry; entry = next()) {
        const goOn = await deliver(entry);
        onChange(state());
        if (!goOn) break;
      }
    } finally {
      sending = false;
      onChange(state());
    }
  }

  // What was refused is tried once more too.
  function again() {
    for (const { key, fields } of refused()) put(key, { fields });
    return flush();
  }

  // Prolong the leases of the cards on the page and fetch new ones; an answer on its way does both.
  async function renew() {
    if (sending) return;
    if (next()) return flush();
    const outcome = await outcomeOf(post({ renew: 1 }), "renew");
    if (!outcome.stored) return;
    [failures, trouble] = [0, null];
    onAnswer(outcome.html);
    onChange(state());
    if (next()) await flush(); // one that failed meanwhile: the server is there now
  }

  // Take back what the server has refused, so certainly does not hold; whether it was there.
  function withdraw(id) {
    const entry = refused().find(({ fields }) => fields.client_id === id);
    if (entry) drop([entry]);
    return Boolean(entry);
  }

  function drop(some) {
    for (const { key } of some) take(key);
    onChange(state());
    queueMicrotask(flush);
  }

  // The other tabs of this person share the entries, and the cards they are about.
  store.onForeignChange((key, newValue) => {
    if (key === null) for (const [name, text] of mine) store.write(name, text); // somebody cleared it
    else if (!key.startsWith(prefix)) return;
    else if (newValue === null) mine.delete(key); // another tab has sent it
    const entry = newValue && entryOf(key);
    if (entry && !entry.refusal) onForeign(entry.fields);
    onChange(state());
  });
  addEventListener("online", () => {
    failures = 0; // it may be too early: then what fails is soon tried again
    flush();
  });
  addEventListener("beforeunload", (event) => {
    if (store.fragile()) event.preventDefault(); // not kept anywhere yet
  });
  return { add, flush, again, pending, refused, renew, withdraw, drop, state, entries };
}
