// Settings that only some choices read are hidden and not sent until such a choice is made, and so is
// a topic of which nothing is left. Without this script all are shown. A field with an error stays.
function isMade(form, [name, values]) {
  const controls = [...form.querySelectorAll(`[name="${name}"]`)];
  if (!controls.length) return true; // this form does not ask for it
  if (controls[0].closest(".field").hidden) return false;
  if (controls.length > 1) return controls.some((box) => box.checked && values.includes(box.value));
  const [control] = controls;
  return values.includes(control.type === "checkbox" ? String(control.checked) : control.value);
}

function arrange(form) {
  for (const field of form.querySelectorAll(".field[data-when]")) {
    const choices = Object.entries(JSON.parse(field.dataset.when));
    const read = choices.every((choice) => isMade(form, choice));
    field.hidden = !read && !field.matches(".wrong");
    for (const control of field.querySelectorAll("input, select, textarea")) {
      control.disabled = field.hidden; // not sent
    }
  }
  for (const fold of form.querySelectorAll("details")) {
    fold.hidden = !fold.querySelector(".field:not([hidden])");
  }
}

function isChanged(control) {
  if (control.type === "checkbox" || control.type === "radio") return control.checked !== control.defaultChecked;
  if (control.tagName !== "SELECT") return control.value !== control.defaultValue;
  const options = [...control.options];
  if (!options.length) return false; // there is nothing to choose
  const given = options.findIndex((option) => option.defaultSelected);
  return control.selectedIndex !== Math.max(given, 0);
}

// What somebody typed before the page listened, or the browser brought back, is a change too.
function tellChanges(form) {
  const asked = [...form.elements].filter((one) => one.name && one.tagName !== "BUTTON");
  const control = asked.find(isChanged);
  control?.dispatchEvent(new Event("change", { bubbles: true }));
}

for (const form of document.querySelectorAll("form.launch")) {
  form.addEventListener("change", () => arrange(form));
  arrange(form);
  document.body.addEventListener("htmx:load", () => tellChanges(form), { once: true });
}
