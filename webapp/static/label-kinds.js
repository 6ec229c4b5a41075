// What the kinds of task bring to the page: each its controls in the dock, and perhaps a script of its cards.
// Only the controls of the shown card are there; the fields in them, with the pressed button, are the answer.
import { gettext } from "./words.js";

const controls = new Map([...document.querySelectorAll("#dock [data-kind]")].map((each) => [each.dataset.kind, each]));
const scripts = new Map(await Promise.all(
  [...controls].map(async ([kind, { dataset }]) => [kind, dataset.script ? await import(dataset.script) : {}]),
));
// What follows a dot in a name only tells groups of inputs of one field apart.
const fieldOf = (input) => input.name.split(".")[0];
const UNSET = "[type=checkbox]:not(:checked), [type=radio]:not(:checked)";
let mine = null; // the controls of the shown card
let blank = ""; // what they hold before anybody fills them in

// Bring a card's controls to the dock, with what was filled in before.
export function begin(card, fields = {}) {
  for (const [kind, each] of controls) each.hidden = each.disabled = kind !== card.dataset.kind;
  mine = controls.get(card.dataset.kind) ?? null; // none where the page is older than the kind
  const script = mine ? scripts.get(card.dataset.kind) : {};
  fill({});
  script.prepare?.(card, mine); // what the fields hold before anybody fills them in
  blank = JSON.stringify(answer());
  fill({ ...answer(), ...fields });
  script.begin?.(card, mine, fields);
}

// What somebody fills in: named as the fields of the answer; buttons are pressed.
function inputs() {
  const names = mine?.dataset.fields.split(" ") ?? [];
  return [...(mine?.elements ?? [])].filter((input) => names.includes(fieldOf(input)) && !input.matches("button"));
}

export function fill(fields) {
  for (const field of inputs()) refill(field, [fields[fieldOf(field)] ?? []].flat());
}

function refill(field, values) {
  if (field.matches("[type=checkbox], [type=radio]")) field.checked = values.includes(field.value);
  else if (field.multiple) for (const option of field.options) option.selected = values.includes(option.value);
  else field.value = values[0] ?? "";
  field.dispatchEvent(new Event("refill", { bubbles: true })); // for a counter, and what a script draws of it
}

// What is filled in so far: {field: text or texts}.
export function answer() {
  const fields = {};
  for (const input of inputs().filter((one) => !one.matches(UNSET) && one.value)) {
    const [name, several] = [fieldOf(input), input.name.includes(".") || fieldOf(input) in fields];
    fields[name] = several ? [fields[name] ?? [], input.value].flat() : input.value;
  }
  return fields;
}

export const filled = () => JSON.stringify(answer()) !== blank;
export const isInput = (element) => inputs().includes(element);

// Why these fields are no answer yet; "" where they may be one.
export function lacking(fields) {
  const wrong = inputs().find((field) => !field.checkValidity());
  if (wrong) return wrong.validationMessage;
  return Object.keys(fields).length ? "" : gettext("Choose an answer first: nothing was answered");
}

// A key that has a name and no character of its own, as Enter, presses the one of the controls that carries it;
// whether one does.
export function pressNamed(name) {
  const button = mine?.querySelector(`[data-named-key="${name}"]`);
  button?.click();
  return Boolean(button);
}

// A key presses what carries its action, in the controls or in the card.
export function press(action) {
  const places = document.querySelectorAll(":is(#dock [data-kind], article):not([hidden]) [data-act]");
  [...places].find((each) => each.dataset.act === action)?.click();
}
