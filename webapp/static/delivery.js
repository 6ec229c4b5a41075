// The panel of answers that have not reached the server: why, and what their person can do about it.
import { counted } from "./answers-file.js";
import { fill, gettext } from "./words.js";

const $ = (id) => document.getElementById(id);
const panel = $("delivery");
const line = panel.querySelector("[data-words]");
const button = (what) => panel.querySelector(`[data-do="${what}"]`);

function words({ count, refused, trouble, failing, fragile }) {
  const said = [];
  for (const why of new Set(refused.map((entry) => entry.refusal.words))) {
    said.push(fill(gettext("Not accepted, and kept here: %(why)s"), { why }));
  }
  const waiting = count - refused.length;
  const going = fragile
    ? gettext("%(why)s %(answers)s kept in this page alone, so leave it open, and sent again by themselves.")
    : gettext("%(why)s %(answers)s kept in this browser and sent again by themselves.");
  if (failing && trouble && waiting) said.push(fill(going, { why: trouble.words, answers: counted(waiting) }));
  return said.join(" ");
}

export function show(state) {
  const said = words(state);
  panel.hidden = !said;
  if (line.textContent !== said) line.textContent = said;
  button("mend").hidden = button("discard").hidden = !state.refused.length;
}

export function listen(acts) {
  panel.addEventListener("click", ({ target }) => acts[target.dataset.do]?.());
}
