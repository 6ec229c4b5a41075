// A rejection needs a reason: without one the field is where the keyboard goes.
import { gettext } from "../../words.js";

let told = null;

export function prepare(_card, controls) {
  if (!told) {
    told = controls.querySelector("[data-told]");
    const box = controls.querySelector("textarea");
    controls.addEventListener("click", (event) => {
      const rejects = event.target.closest("button")?.value === "reject" && !box.value.trim();
      if (!rejects) return;
      event.preventDefault();
      told.textContent = gettext("Say why it is rejected, then send it.");
      box.focus();
    });
  }
  told.textContent = "";
}
