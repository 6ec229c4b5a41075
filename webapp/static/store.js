// What is kept in this browser: in its storage, or where that is full, refused or switched off, in this
// page alone. `write` says which, so that nobody takes for safe what goes with the page. Any call of a
// storage may throw, or do nothing; an older text stays where a newer one finds no room.
// Several installations may stand on one address, one after the other: what one keeps is no other's.
const ANY = "attune:";
const OURS = `attune@${document.documentElement.dataset.installation}:`;
const storedAs = (key) => (key.startsWith(ANY) ? OURS + key.slice(ANY.length) : key);
const knownAs = (name) => (name.startsWith(OURS) ? ANY + name.slice(OURS.length) : name);
const here = new Map(); // what this page knows better than the storage: a text, or null for none

function attempt(act) {
  try {
    return act(window.localStorage); // a browser may refuse even the look
  } catch {
    return null;
  }
}

// What was kept before installations had names is found under its key alone.
const stored = (key) => attempt((storage) => storage.getItem(storedAs(key)) ?? storage.getItem(key)) ?? null;

export function write(key, text) {
  attempt((storage) => {
    storage.setItem(storedAs(key), text);
    if (storedAs(key) !== key) storage.removeItem(key);
  });
  const kept = stored(key) === text;
  if (kept) here.delete(key);
  else here.set(key, text);
  return kept;
}

export function read(key) {
  return here.has(key) ? here.get(key) : stored(key);
}

export function remove(key) {
  attempt((storage) => [storedAs(key), key].forEach((name) => storage.removeItem(name)));
  if (stored(key) === null) here.delete(key);
  else here.set(key, null);
}

export function keys(prefix) {
  const names = new Set([...(attempt(Object.keys) ?? []).map(knownAs), ...here.keys()]);
  return [...names].filter((name) => name.startsWith(prefix) && read(name) !== null);
}

// What another tab has changed: the key and its text now; no key where somebody cleared everything.
export function onForeignChange(told) {
  addEventListener("storage", ({ key, newValue }) => told(key === null ? null : knownAs(key), newValue));
}

// Whether words or answers would be gone with this page.
export function fragile() {
  return [...here].some(([key, text]) => key.startsWith("attune:") && text !== null &&
    (stored(key) === null || key.startsWith("attune:draft:")));
}

// The object under a key; null where there is none, or nothing that can be read.
export function object(key) {
  try {
    const found = JSON.parse(read(key));
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}
