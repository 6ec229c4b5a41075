// What is being written about a pair: kept in this browser at once, by the server after a pause and when the
// page is left. A draft says which revision of the server's it goes on with; where another device has saved
// other words since, neither is dropped: ours stay in the box, theirs are shown beside it. No clock decides.
import { tokenOf } from "./csrf.js";
import * as store from "./store.js";

const PAUSE = 1000; // ms
const RETRY = 5_000; // ms
let count = 0; // of this page's drafts
const all = ({ rationale = "", flags = [], fields = {} }) =>
  JSON.stringify([rationale, flags, Object.entries(fields).sort()]);
const same = (one, other) => all(one) === all(other);

// The words of a draft that another one lacks: of the reason, and of what is filled in.
export function beyond(draft, other) {
  const texts = Object.entries({ ...draft.fields, rationale: draft.rationale ?? "" });
  const there = { ...other.fields, rationale: other.rationale };
  const lacking = ([name, text]) => typeof text === "string" && !String(there[name] ?? "").includes(text);
  return texts.filter(lacking).map(([, text]) => text).join("\n\n");
}

// This page, by a name of its own: what it sent itself is no other's.
export const page = String(crypto.getRandomValues(new Uint32Array(2)));

export function openDrafts({ form, onForeign, onConflict, onReceived, onCleared }) {
  const prefix = `attune:draft:${form.dataset.user}:${new URL(form.action).pathname}:`;
  const keys = () => store.keys(prefix);
  let timer = 0;

  const draftAt = (key) => {
    const draft = store.object(key);
    return typeof draft?.rationale === "string" && Array.isArray(draft.flags) ? draft : null;
  };
  const cardOf = (id) => document.querySelector(`article[data-assignment="${Number(id)}"]`);
  const idOf = (key) => key.slice(prefix.length);
  const stored = (card) => ({
    rationale: card.dataset.rationale,
    flags: card.dataset.flags.split(",").filter(Boolean),
    fields: JSON.parse(card.dataset.written || "{}"),
    revision: Number(card.dataset.revision),
  });

  // What to show for a card: ours if it goes on with what the server has or nobody wrote there, and what
  // the server has beside it where both wrote.
  function of(card) {
    const [here, there] = [draftAt(prefix + card.dataset.assignment), stored(card)];
    const other = card.dataset.other ?? "";
    if (!here || (here.received && here.base <= there.revision)) return { ...there, base: there.revision, other };
    const apart = here.base !== there.revision && beyond(there, here);
    return { ...here, other: here.other || apart || other };
  }

  // The card carries its draft too: it may leave the front and come back.
  function note(id, { rationale, flags, fields = {}, base }) {
    const card = cardOf(id);
    const written = JSON.stringify(fields);
    if (card) Object.assign(card.dataset, { rationale, flags: flags.join(","), written, revision: base });
  }

  function keep(id, { rationale, flags, fields, base, other }) {
    count += 1;
    store.write(prefix + id, JSON.stringify({ rationale, flags, fields, base, other, count }));
    clearTimeout(timer);
    timer = setTimeout(sync, PAUSE);
  }

  function received(key, draft, revision) {
    const now = draftAt(key);
    if (!now) return;
    const whole = now.count === draft.count;
    const kept = store.write(key, JSON.stringify({ ...now, base: revision, received: whole }));
    if (whole && !kept) store.remove(key); // the server has it: nothing would be lost with the page
    note(idOf(key), { ...now, base: revision });
    onReceived(idOf(key), revision);
  }

  async function send(key) {
    const draft = draftAt(key);
    if (!draft || draft.received) return;
    const body = new FormData();
    const { rationale, base = "" } = draft;
    const about = { assignment: idOf(key), rationale, base, count: draft.count, page, as: form.dataset.user };
    for (const [name, value] of Object.entries({ ...draft.fields, ...about })) {
      for (const item of [value].flat()) body.append(name, item);
    }
    for (const flag of draft.flags) body.append("flags", flag);
    body.append("csrfmiddlewaretoken", tokenOf(form));
    const headers = { "HX-Request": "true" };
    const response = await fetch(form.dataset.drafts, { method: "POST", body, headers, keepalive: true });
    const told = await response.json();
    if (response.ok && Number.isInteger(told.revision)) return received(key, draft, told.revision);
    if (told.kind !== "conflict") throw new Error(told.kind);
    if (same(told, draft)) return received(key, draft, told.revision);
    onConflict(idOf(key), told);
  }

  // One that does not arrive stays here and is sent again.
  async function sync() {
    clearTimeout(timer);
    const sent = await Promise.allSettled(keys().map(send));
    if (sent.some(({ status }) => status === "rejected")) timer = setTimeout(sync, RETRY);
  }

  for (const key of keys()) {
    const draft = draftAt(key);
    if (!draft || (draft.received && !cardOf(idOf(key)))) store.remove(key);
    else count = Math.max(count, draft.count ?? 0); // what this page sends of it goes by its own name
  }
  addEventListener("pagehide", sync);
  addEventListener("online", sync);
  store.onForeignChange((key) => {
    if (key === null) return onCleared();
    const draft = key.startsWith(prefix) && draftAt(key);
    if (draft && !draft.received) onForeign(idOf(key), draft);
  });
  return { keep, of, note, sync, at: (id) => draftAt(prefix + id), drop: (id) => store.remove(prefix + id) };
}
