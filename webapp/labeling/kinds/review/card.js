// A rejection needs a reason: without one the field is where the keyboard goes. A prompt's words come into the field
// in which they are changed; an answer's stay as they are.
import { gettext } from "../../words.js";

let told = null;
let [box, was, original] = [null, null, ""];

function listen(controls) {
  told = controls.querySelector("[data-told]");
  [box, was] = [controls.querySelector("[name=text]"), controls.querySelector("[name=was]")];
  const reason = controls.querySelector("[name=reason]");
  controls.addEventListener("click", (event) => {
    const rejects = event.target.closest("button")?.value === "reject" && !reason.value.trim();
    if (!rejects) return;
    event.preventDefault();
    told.textContent = gettext("Say why it is rejected, then send it.");
    reason.focus();
  });
}

export function prepare(card, controls) {
  if (!told) listen(controls);
  told.textContent = "";
  const words = card.querySelector("[data-original]");
  original = words ? words.content.textContent.slice(1) : ""; // behind a line break of the page's
  box.closest("[data-words]").hidden = !words;
  box.value = was.value = original;
}

// A draft may be older than the words that the card shows.
export function begin() {
  was.value = original;
}
