// The answer comes into the field to be edited; beside the original stands what is changed, word by word.
import { gettext } from "../../words.js";

const MOST = 1e6; // cells of a comparison: what is larger is shown as one change
const UNCHANGED = gettext("Nothing is changed: change the text, or say that it is good as it is.");
const CHANGED = gettext("You changed the text: send it, or take the changes back first.");
let [box, changes, told, original] = [null, null, null, ""];

const changed = () => box.value.trim() !== original.trim();
const words = new Intl.Segmenter(undefined, { granularity: "word" }); // of any language
const tokens = (text) => [...words.segment(text)].map(({ segment }) => segment);

// How many tokens are common to both from each place on, as a table of `before.length + 1` rows.
function lengths(before, after) {
  const width = after.length + 1;
  const table = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      table[i * width + j] = before[i] === after[j]
        ? table[(i + 1) * width + j + 1] + 1
        : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  return (i, j) => table[i * width + j];
}

// [kind, text] with kind "", "del" or "ins", for tokens that begin and end differently.
function middle(before, after) {
  if (before.length * after.length > MOST) return [["del", before.join("")], ["ins", after.join("")]];
  const common = lengths(before, after);
  const parts = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      parts.push(["", before[i]]);
      [i, j] = [i + 1, j + 1];
    } else if (j >= after.length || (i < before.length && common(i + 1, j) >= common(i, j + 1))) {
      parts.push(["del", before[i]]);
      i += 1;
    } else {
      parts.push(["ins", after[j]]);
      j += 1;
    }
  }
  return parts;
}

export function difference(before, after) {
  const [old, now] = [tokens(before), tokens(after)];
  const most = Math.min(old.length, now.length);
  let start = 0;
  while (start < most && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < most - start && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  const head = ["", old.slice(0, start).join("")];
  const tail = ["", old.slice(old.length - end).join("")];
  return [head, ...middle(old.slice(start, old.length - end), now.slice(start, now.length - end)), tail];
}

function joined(parts) {
  const found = [];
  for (const [kind, text] of parts.filter((part) => part[1])) {
    if (found.at(-1)?.[0] === kind) found.at(-1)[1] += text;
    else found.push([kind, text]);
  }
  return found;
}

function draw() {
  if (!changes) return;
  const nodes = joined(difference(original, box.value)).map(([kind, text]) =>
    kind ? Object.assign(document.createElement(kind), { textContent: text }) : text);
  changes.replaceChildren(...nodes);
  changes.closest(".answer").hidden = !changed();
  told.textContent = "";
}

// What cannot be meant is said before it is sent.
function look(event) {
  const button = event.target.closest("button:not([type=button])");
  if (!button) return;
  const wrong = button.name ? changed() && CHANGED : !changed() && UNCHANGED;
  if (wrong) event.preventDefault();
  told.textContent = wrong || "";
}

export function prepare(card, controls) {
  original = card.querySelector("[data-original]").content.textContent.slice(1); // behind a line break of the page's
  changes = card.querySelector("[data-changes]");
  if (!box) {
    box = controls.querySelector("textarea");
    told = controls.querySelector("[data-told]");
    box.addEventListener("input", draw);
    box.addEventListener("refill", draw);
    controls.addEventListener("click", look);
  }
  box.value = original;
}

export const begin = draw;
