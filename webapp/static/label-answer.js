// What the person puts in for the shown card besides the answer: a reason, flags, and visible time.
import { beyond, openDrafts, page } from "./label-drafts.js";
import * as kinds from "./label-kinds.js";
import * as seen from "./label-seen.js";
import { fill as filled, gettext } from "./words.js";

const $ = (id) => document.getElementById(id);
const [dock, rationale, other] = [$("dock"), $("rationale"), $("other")];
let base = 0; // the draft's revision that the person goes on with
let beside = 0; // the revision of the words beside the box
const boxes = () => [...dock.querySelectorAll("[name=flags]")];
const flags = () => boxes().filter((box) => box.checked).map((box) => box.value);
const shownId = () => dock.elements.assignment.value;

const drafts = openDrafts({ form: dock, onForeign: adopt, onConflict: differ, onReceived: goOn, onCleared: written });

export const { sync } = drafts;
export const typed = () => Boolean(rationale.value || flags().length || kinds.filled());
export const forget = (id) => drafts.drop(id);
export const kept = (id) => drafts.at(id);

// Whether the person has put in something else since.
export const changed = (fields) => rationale.value !== fields.rationale || String(flags()) !== String(fields.flags)
  || Object.entries(kinds.answer()).some(([name, value]) => String(value) !== String(fields[name]));

// Why the answer cannot go as it is; "" where it can.
export function wrong() {
  const over = rationale.value.length - Number(rationale.dataset.limit ?? rationale.maxLength);
  if (over <= 0) return "";
  const words = gettext("The reason is %(over)s characters too long. Shorten it, then choose again: nothing was sent.");
  return filled(words, { over: over.toLocaleString("en") });
}

// Why the answer cannot go without a reason; "" where it can.
export function unreasoned() {
  if (!rationale.required || rationale.value.trim()) return "";
  $("why").open = true;
  rationale.focus();
  return gettext("This project asks for a reason with each answer: nothing was answered");
}

export function answer() {
  const assignment = shownId();
  const said = { rationale: rationale.value, flags: flags(), form: dock.elements.form.value };
  return { assignment, ...said, base, page, visible_ms: seen.visible(assignment) };
}

// Begin with a card, and with what was put in for it before.
export function begin(card, before) {
  dock.elements.assignment.value = card.dataset.assignment;
  const draft = before ?? drafts.of(card);
  kinds.begin(card, { ...before, ...draft.fields });
  fill({ ...draft, fields: null }); // which are filled in by now
  base = Number(draft.base ?? card.dataset.revision);
  beside = base;
  showOther(draft.other ?? "");
  seen.begin(card);
  if (before) written(); // its answer is taken back: the words are a draft again
}

// What was put in is shown, also where the form asks for it no more.
const unfold = (id) => Object.assign($(id), { open: true, hidden: false });

function fill(before) {
  rationale.value = before.rationale ?? "";
  for (const box of boxes()) box.checked = before.flags?.includes(box.value) ?? false;
  if (rationale.value) unfold("why");
  if (flags().length) unfold("flags");
  rationale.dispatchEvent(new Event("refill", { bubbles: true })); // for the counter
  if (before.fields) kinds.fill(before.fields);
}

// Words of another device or tab, beside the person's own.
function showOther(words) {
  other.hidden = !words;
  other.querySelector("[data-words]").textContent = words;
  if (words) unfold("why");
}

function settleOther(what) {
  const words = other.querySelector("[data-words]").textContent;
  if (what === "take") rationale.value = words;
  if (what === "add") rationale.value = [rationale.value, words].filter(Boolean).join("\n\n");
  base = Math.max(base, beside);
  showOther("");
  rationale.focus();
  written();
}

// The server has kept what is written here, as this revision.
function goOn(id, revision) {
  if (shownId() === id) base = revision;
}

// Another tab of the same person writes about the same pair.
function adopt(id, draft) {
  if (shownId() !== id) return drafts.note(id, draft);
  const more = beyond(draft, mine());
  if (!more && typed()) return;
  if (beyond(mine(), draft)) return showOther(more);
  base = Math.max(base, draft.base ?? 0);
  if (document.activeElement !== rationale && !kinds.isInput(document.activeElement)) fill(draft);
  else if (more) showOther(more);
  if (draft.other) showOther(draft.other);
}

// The server has other words than those that this page went on with.
function differ(id, there) {
  if (shownId() !== id) return;
  for (const box of boxes()) box.checked ||= there.flags.includes(box.value);
  if (flags().length) unfold("flags");
  beside = there.revision;
  // Until the person has settled it, an answer leaves those words beside the pair.
  const more = beyond(there, mine());
  if (more) return showOther(more);
  base = beside;
  written();
}

// What is written here, as far as a draft keeps it.
const mine = () => ({ rationale: rationale.value, flags: flags(), fields: kinds.answer() });

// Whether the browser keeps it; where not, the server does, after a pause.
function written() {
  const { assignment } = answer();
  const draft = { ...mine(), base, page };
  if (!assignment) return;
  draft.other = other.hidden ? "" : other.querySelector("[data-words]").textContent;
  drafts.note(assignment, draft);
  drafts.keep(assignment, draft);
}

// A flag that is put back where it was.
export function setFlag(value, checked) {
  const box = boxes().find((each) => each.value === value);
  box.checked = checked;
  written();
}

export const onFlag = (tell) => dock.addEventListener("change", ({ target }) => {
  if (target.matches("[name=flags]")) tell(shownId(), target.value, target.checked);
});

dock.addEventListener("input", ({ target }) => {
  if (target.matches("[name=rationale], [name=flags]") || kinds.isInput(target)) written();
});
other.addEventListener("click", ({ target }) => {
  if (target.dataset.other) settleOther(target.dataset.other);
});
