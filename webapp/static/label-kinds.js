// What the kinds of task bring to the page: each its controls in the dock, and perhaps a script of its cards.
// Only the controls of the shown card are there; the fields in them, with the pressed button, are the answer.
import { gettext } from "./words.js";

const controls = new Map([...document.querySelectorAll("#dock [data-kind]")].map((each) => [each.dataset.kind, each]));
const scripts = new Map(await Promise.all(
  [...controls].map(async ([kind, { dataset }]) => [kind, dataset.script ? await import(dataset.script) : {}]),
));
const UNSET = "button, fieldset, [type=checkbox]:not(:checked), [type=radio]:not(:checked)";

// Bring a card's controls to the dock, empty or as they were when it was answered.
export function begin(card, fields = {}) {
  for (const [kind, each] of controls) each.hidden = each.disabled = kind !== card.dataset.kind;
  const mine = controls.get(card.dataset.kind);
  if (!mine) return; // the page is older than this kind
  for (const field of inputs(mine)) refill(field, [fields[field.name] ?? []].flat());
  scripts.get(card.dataset.kind).begin?.(card, mine, fields);
}

// The named fields of an answer; radio buttons that choose a view are none.
function inputs(mine) {
  const names = mine.dataset.fields.split(" ");
  return [...mine.elements].filter((field) => names.includes(field.name) && !field.matches("button"));
}

function refill(field, values) {
  if (field.matches("[type=checkbox], [type=radio]")) field.checked = values.includes(field.value);
  else if (field.multiple) for (const option of field.options) option.selected = values.includes(option.value);
  else field.value = values[0] ?? "";
}

// What would be answered with this button: {field: text or texts}.
export function answer(card, button) {
  const mine = controls.get(card.dataset.kind);
  const fields = {};
  for (const field of [...inputs(mine).filter((each) => !each.matches(UNSET)), button]) {
    if (!field?.name || field.value === "") continue;
    fields[field.name] = field.name in fields ? [fields[field.name], field.value].flat() : field.value;
  }
  return fields;
}

// Why these fields are no answer yet; "" where they may be one.
export function lacking(card, fields) {
  const wrong = inputs(controls.get(card.dataset.kind)).find((field) => !field.checkValidity());
  if (wrong) return wrong.validationMessage;
  return Object.keys(fields).length ? "" : gettext("Choose an answer first: nothing was answered");
}

// A key presses what carries its action, in the controls or in the card.
export function press(action) {
  const places = document.querySelectorAll(`:is(#dock [data-kind], article):not([hidden]) [data-act]`);
  [...places].find((each) => each.dataset.act === action)?.click();
}
