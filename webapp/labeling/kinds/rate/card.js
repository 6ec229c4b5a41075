// A digit marks the scale in hand and goes on to the next one; the last one sends. In hand is the first
// scale without a mark, or the one that has the focus.
import { fill, gettext } from "../../words.js";

let scales = [];
let send = null;

const unmarked = (scale) => !scale.querySelector(":checked");

// What is still to be marked is said by its name.
function check() {
  for (const scale of scales) {
    const name = scale.getAttribute("aria-label");
    const words = unmarked(scale) ? fill(gettext("Mark %(name)s first: nothing was answered"), { name }) : "";
    for (const input of scale.querySelectorAll("input")) input.setCustomValidity(words);
  }
}

function takeUp(scale) {
  for (const each of scales) {
    each.classList.toggle("in-hand", each === scale);
    for (const [place, input] of each.querySelectorAll("input").entries()) {
      if (each === scale) input.dataset.act = `choose-${place + 1}`;
      else delete input.dataset.act;
    }
  }
  scale.scrollIntoView({ block: "nearest" });
}

// Pressed by a key, and not by a pointer or by an arrow.
function goOn(scale, byKey) {
  const next = scales[scales.indexOf(scale) + 1] ?? scales.find(unmarked);
  if (!next) return byKey ? send.click() : undefined;
  takeUp(next);
  if (byKey && scale.contains(document.activeElement)) {
    (next.querySelector(":checked") ?? next.querySelector("input")).focus();
  }
}

export function begin(card, controls) {
  const count = card.querySelectorAll(".answer").length;
  const items = [...controls.querySelectorAll(".rated")];
  items.forEach((item, place) => { item.hidden = item.disabled = place >= count; });
  scales = items.slice(0, count).flatMap((item) => [...item.querySelectorAll(".mark")]);
  send = controls.querySelector("[data-named-key]");
  check();
  takeUp(scales.find(unmarked) ?? scales[0]);
  controls.onfocusin = ({ target }) => { if (target.closest(".mark")) takeUp(target.closest(".mark")); };
  controls.onclick = ({ target, isTrusted, detail }) => {
    if (!target.matches("[type=radio]")) return;
    check();
    if (!isTrusted || detail) goOn(target.closest(".mark"), !isTrusted);
  };
}
