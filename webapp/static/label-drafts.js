// What is being written about a pair: kept in this browser at once, by the server after a pause and
// when the page is left. The newer one speaks; ours goes when an answer carries it away, or a page later
// than the server's receipt: the page that asked at the same moment may not know of it yet.
const PAUSE = 1000; // ms

export function openDrafts({ form, onForeign }) {
  const prefix = `attune:draft:${form.dataset.user}:${new URL(form.action).pathname}:`;
  const keys = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix));
  const read = (key) => JSON.parse(localStorage.getItem(key));
  const write = (key, draft) => localStorage.setItem(key, JSON.stringify(draft));
  let timer = 0;

  function of(card) {
    const { assignment, rationale, flags, at } = card.dataset;
    const here = read(prefix + assignment);
    return here && here.at >= Number(at) ? here : { rationale, flags: flags.split(",") };
  }

  // The card carries its draft too: it may leave the front and come back.
  function note(key, { rationale, flags, at }) {
    const card = document.querySelector(`article[data-assignment="${Number(key.slice(prefix.length))}"]`);
    if (card && at >= Number(card.dataset.at)) Object.assign(card.dataset, { rationale, flags: flags.join(","), at });
  }

  function keep(id, { rationale, flags }) {
    const draft = { rationale, flags, at: Date.now() };
    write(prefix + id, draft);
    note(prefix + id, draft);
    clearTimeout(timer);
    timer = setTimeout(sync, PAUSE);
  }

  async function send(key) {
    const draft = read(key);
    if (!draft || draft.received) return;
    const body = new FormData();
    const fields = { assignment: key.slice(prefix.length), rationale: draft.rationale, at: draft.at };
    for (const [name, value] of Object.entries(fields)) body.append(name, value);
    for (const flag of draft.flags) body.append("flags", flag);
    body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    const { status } = await fetch(form.dataset.drafts, { method: "POST", body, keepalive: true });
    const settled = status === 204 || status === 409;
    if (settled && read(key)?.at === draft.at) write(key, { ...draft, received: true });
  }

  // One that does not arrive stays here for the next occasion.
  function sync() {
    clearTimeout(timer);
    return Promise.allSettled(keys().map(send));
  }

  for (const key of keys()) {
    note(key, read(key));
    if (read(key).received) localStorage.removeItem(key);
  }
  sync();
  addEventListener("pagehide", sync);
  addEventListener("online", sync);
  addEventListener("storage", ({ key, newValue }) => {
    const draft = key?.startsWith(prefix) && JSON.parse(newValue);
    if (!draft || draft.received) return;
    note(key, draft);
    onForeign(key.slice(prefix.length), draft);
  });
  return { keep, of, drop: (id) => localStorage.removeItem(prefix + id) };
}
