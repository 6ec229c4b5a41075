// Answers on their way to the server: kept in this browser until the server has them, sent in order,
// again and again while the network or the server is away. Every answer has an id, so a repeat is harmless.
const BACKOFF = [1, 2, 4, 8, 15, 30]; // seconds

export function openOutbox({ form, extra, onAnswer, onChange, onRefusal, onForeign }) {
  const prefix = `attune:${form.dataset.user}:${new URL(form.action).pathname}:`;
  let sending = false;
  let failures = 0;
  let blocked = false;
  let timer = 0;
  let counter = 0;

  // One entry a key: two tabs never overwrite each other's.
  const keys = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix)).sort();
  const pending = () => keys().map((key) => JSON.parse(localStorage.getItem(key)));
  const state = () => ({ count: keys().length, failing: failures > 0, blocked });

  function add(fields) {
    counter += 1;
    localStorage.setItem(`${prefix}${Date.now()}:${String(counter).padStart(6, "0")}`, JSON.stringify(fields));
    flush();
    onChange(state());
  }

  async function post(fields) {
    const body = new FormData();
    for (const [name, value] of Object.entries({ ...fields, ...extra() })) {
      for (const item of [value].flat()) body.append(name, item);
    }
    body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    return fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
  }

  // Whether the entry is settled: stored, or refused in words.
  async function settle(key) {
    const text = localStorage.getItem(key);
    if (!text) return; // another tab has sent it
    const response = await post(JSON.parse(text));
    if (response.status === 409) onRefusal((await response.json()).error);
    else if (response.redirected || (response.status >= 400 && response.status < 500)) blocked = true;
    else if (!response.ok) throw new Error(`answer ${response.status}`);
    if (blocked) return;
    localStorage.removeItem(key);
    failures = 0;
    if (response.ok) onAnswer(await response.text());
  }

  async function flush() {
    if (sending || blocked) return;
    sending = true;
    clearTimeout(timer);
    try {
      for (let key = keys()[0]; key && !blocked; key = keys()[0]) {
        await settle(key);
        onChange(state());
      }
    } catch {
      timer = setTimeout(flush, 1000 * BACKOFF[Math.min(failures, BACKOFF.length - 1)]);
      failures += 1;
    } finally {
      sending = false;
      onChange(state());
    }
  }

  // Prolong the leases of the cards on the page and fetch new ones; an answer on its way does both.
  async function renew() {
    if (sending || blocked) return;
    if (keys().length) return flush();
    const response = await post({ renew: 1 }).catch(() => null);
    if (!response?.ok || response.redirected) return;
    onAnswer(await response.text());
    onChange(state());
  }

  // The other tabs of this person share the entries, and the cards they are about.
  addEventListener("storage", ({ key, newValue }) => {
    if (!key?.startsWith(prefix)) return;
    if (newValue) onForeign(JSON.parse(newValue));
    onChange(state());
  });
  addEventListener("online", () => { clearTimeout(timer); flush(); });
  return { add, flush, pending, renew };
}
