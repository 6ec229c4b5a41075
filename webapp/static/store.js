// What is kept in this browser: in its storage, or where that is full, refused or switched off, in this
// page alone. `write` says which, so that nobody takes for safe what goes with the page.
const here = new Map();

function storage() {
  try {
    return window.localStorage; // a browser may refuse even the look
  } catch {
    return null;
  }
}

export function write(key, text) {
  try {
    window.localStorage.setItem(key, text);
    here.delete(key);
    return true;
  } catch {
    remove(key); // an older text of that name must not speak later
    here.set(key, text);
    return false;
  }
}

export function read(key) {
  return here.get(key) ?? storage()?.getItem(key) ?? null;
}

export function remove(key) {
  here.delete(key);
  storage()?.removeItem(key);
}

export function keys(prefix) {
  const names = [...Object.keys(storage() ?? {}), ...here.keys()];
  return names.filter((name) => name.startsWith(prefix));
}

// Whether something would be gone with this page.
export const fragile = () => here.size > 0;

// The object under a key; null where there is none, or nothing that can be read.
export function object(key) {
  try {
    return JSON.parse(read(key));
  } catch {
    return null;
  }
}
