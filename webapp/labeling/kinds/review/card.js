// A prompt's words come into the field in which they are changed; an answer's stay as they are.
let [box, was] = [null, null];
let original = "";

export function prepare(card, controls) {
  const words = card.querySelector("[data-original]");
  original = words ? words.content.textContent.slice(1) : ""; // behind a line break of the page's
  box ??= controls.querySelector("[name=text]");
  was ??= controls.querySelector("[name=was]");
  box.closest("[data-words]").hidden = !words;
  box.value = was.value = original;
}

// A draft may be older than the words that the card shows.
export function begin() {
  was.value = original;
}
