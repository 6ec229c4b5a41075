// Settings that only some choices read are hidden until such a choice is made, and so is a topic of
// which nothing is left. Without this script all of them are shown. A field with an error stays.
function chosen(form, name) {
  const control = form.elements[name];
  if (!control || control.closest(".field").hidden) return null;
  return control.type === "checkbox" ? String(control.checked) : control.value;
}

function arrange(form) {
  for (const field of form.querySelectorAll(".field[data-when]")) {
    const asked = Object.entries(JSON.parse(field.dataset.when));
    const read = asked.every(([name, values]) => values.includes(chosen(form, name)));
    field.hidden = !read && !field.matches(".wrong");
  }
  for (const fold of form.querySelectorAll("details")) {
    fold.hidden = !fold.querySelector(".field:not([hidden])");
  }
}

for (const form of document.querySelectorAll("form.launch")) {
  form.addEventListener("change", () => arrange(form));
  arrange(form);
}
