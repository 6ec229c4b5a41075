// What the person puts in for the shown card besides the choice: a reason, flags, and visible time.
import { openDrafts } from "./label-drafts.js";

const $ = (id) => document.getElementById(id);
const [dock, rationale] = [$("dock"), $("rationale")];
const clock = { seen: 0, since: 0 };
const boxes = () => [...dock.querySelectorAll("[name=flags]")];
const flags = () => boxes().filter((box) => box.checked).map((box) => box.value);
const drafts = openDrafts({ form: dock, onForeign: adopt });

export const typed = () => Boolean(rationale.value || flags().length);
export const forget = (id) => drafts.drop(id);

// Visible time only: the clock stands while the tab is hidden.
function look(visible) {
  if (clock.since) clock.seen += performance.now() - clock.since;
  clock.since = visible ? performance.now() : 0;
}

export function answer() {
  look(!document.hidden);
  const assignment = dock.elements.assignment.value;
  return { assignment, rationale: rationale.value, flags: flags(), visible_ms: Math.round(clock.seen) };
}

// Begin with a card, and with what was put in for it before.
export function begin(card, before = drafts.of(card)) {
  dock.elements.assignment.value = card.dataset.assignment;
  fill(before);
  Object.assign(clock, { seen: 0, since: document.hidden ? 0 : performance.now() });
}

function fill(before) {
  rationale.value = before.rationale ?? "";
  for (const box of boxes()) box.checked = before.flags?.includes(box.value) ?? false;
  if (rationale.value) $("why").open = true;
  if (flags().length) $("flags").open = true;
}

// Another tab of the same person writes about the same pair.
function adopt(id, draft) {
  if (dock.elements.assignment.value === id && document.activeElement !== rationale) fill(draft);
}

dock.addEventListener("input", ({ target }) => {
  const { assignment, ...written } = answer();
  if (assignment && target.matches("[name=rationale], [name=flags]")) drafts.keep(assignment, written);
});
document.addEventListener("visibilitychange", () => look(!document.hidden));
