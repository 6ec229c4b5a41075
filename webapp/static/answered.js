// Pairs whose answer the server has stored lately. A page that was made just before that, in this tab by a
// reload or in another, has them still: it leaves them out and lets the server say which are open.
import * as store from "./store.js";

const KEPT = 50;

export function openAnswered(form) {
  const key = `attune:answered:${form.dataset.user}:${new URL(form.action).pathname}`;
  const ids = () => [store.object(key)?.ids ?? []].flat().map(String);

  // Nothing is lost with the list, so it never makes a page one that must stay open.
  function keep(some) {
    if (!store.write(key, JSON.stringify({ ids: some.slice(-KEPT) }))) store.remove(key);
  }

  const remove = (id) => keep(ids().filter((other) => other !== String(id)));
  const add = (id) => keep([...ids().filter((other) => other !== String(id)), id]);
  return { ids, add, remove };
}
