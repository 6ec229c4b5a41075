// An order is put together place by place; the field keeps it as `B>A=C`, and all else here is drawn from it.
import { fill, gettext } from "../../words.js";

const LETTERS = [..."ABCDEFGHI"];
let [here, box, letters] = [null, null, []]; // the controls, the field, and the letters of the shown card

// [{letter, tied: as good as the one before}], from best to worst.
const parts = () => [...box.value.matchAll(/([>=]?)([A-I])/g)];
const order = () => parts().map(([, sign, letter]) => ({ letter, tied: sign === "=" }));
const written = (places) =>
  places.map(({ letter, tied }, place) => (place ? (tied ? "=" : ">") : "") + letter).join("");

function put(places) {
  box.value = written(places);
  box.dispatchEvent(new Event("input", { bubbles: true })); // a draft
  draw();
}

function place(letter) {
  const places = order();
  if (!letters.includes(letter) || places.some((each) => each.letter === letter)) return;
  put([...places, { letter, tied: false }]);
}

function tie(at) {
  const places = order();
  if (places.length < 2) return;
  const one = places.at(at);
  one.tied = !one.tied && one !== places[0];
  put(places);
}

// To another place, tied with nobody there; who was tied with it before stays tied with the others.
function move(from, to) {
  const places = order();
  if (from < 0 || to < 0 || to >= places.length || from === to) return;
  const [one] = places.splice(from, 1);
  if (places[from]) places[from].tied &&= from > 0 && one.tied;
  if (places[to]) places[to].tied = false;
  places.splice(to, 0, { ...one, tied: false });
  put(places);
}

function button(act, at, text, words) {
  const looks = { type: "button", className: "btn quiet small", textContent: text };
  const made = Object.assign(document.createElement("button"), looks);
  Object.assign(made.dataset, { move: act, at });
  made.setAttribute("aria-label", words);
  return made;
}

function row({ letter, tied }, at, places) {
  const made = Object.assign(document.createElement("li"), { draggable: true });
  made.dataset.at = at;
  made.classList.toggle("tied", tied);
  const name = Object.assign(document.createElement("strong"), { textContent: (tied ? "= " : "") + letter });
  made.append(name);
  const named = (words) => fill(words, { letter, before: places[at - 1]?.letter });
  if (at) made.append(button("up", at, "↑", named(gettext("%(letter)s up"))));
  if (at < places.length - 1) made.append(button("down", at, "↓", named(gettext("%(letter)s down"))));
  const as = gettext("%(letter)s is as good as %(before)s");
  const worse = gettext("%(letter)s is worse than %(before)s");
  if (at) made.append(button("tie", at, tied ? ">" : "=", named(tied ? worse : as)));
  return made;
}

function draw() {
  const places = order();
  const left = letters.filter((letter) => !places.some((each) => each.letter === letter));
  box.setCustomValidity(left.length ? fill(gettext("Place %(left)s first"), { left: left.join(", ") }) : "");
  here.querySelector("[data-placed]").replaceChildren(...places.map(row));
  here.querySelector("[data-said]").textContent = written(places).replaceAll(/[>=]/g, " $& ");
  for (const each of here.querySelectorAll("[data-letter]")) {
    each.hidden = !letters.includes(each.dataset.letter);
    each.setAttribute("aria-disabled", !left.includes(each.dataset.letter));
  }
  const send = here.querySelector("[data-named-key=Enter]");
  if (!left.length && document.activeElement.matches("[data-letter]")) send.focus(); // Enter presses what has it
}

function act({ target }) {
  const pressed = target.closest("button[type=button]");
  if (!pressed) return;
  const { letter, move: where, at } = pressed.dataset;
  if (letter) place(letter);
  if (pressed.dataset.act === "tie") tie(-1);
  if (pressed.dataset.namedKey === "Backspace") put(order().slice(0, -1));
  if (!where) return;
  if (where === "tie") tie(Number(at));
  else move(Number(at), Number(at) + (where === "up" ? -1 : 1));
  const stays = where === "tie" ? at : Number(at) + (where === "up" ? -1 : 1);
  const again = here.querySelectorAll(`[data-at="${stays}"][data-move]`);
  ([...again].find((each) => each.dataset.move === where) ?? again[0])?.focus();
}

let dragged = -1;
const rowOf = ({ target }) => Number(target.closest("[data-placed] li")?.dataset.at ?? -1);

function listen(controls) {
  controls.addEventListener("click", act);
  box.addEventListener("refill", draw);
  const list = controls.querySelector("[data-placed]");
  list.addEventListener("dragstart", (event) => { dragged = rowOf(event); });
  list.addEventListener("dragover", (event) => event.preventDefault());
  list.addEventListener("drop", (event) => {
    event.preventDefault();
    move(dragged, rowOf(event));
  });
}

export function prepare(card, controls) {
  letters = LETTERS.slice(0, card.querySelectorAll(".answer").length);
  if (here) return;
  here = controls;
  box = controls.querySelector("[name=ranking]");
  box.closest("label").hidden = true;
  controls.querySelector("[data-ranking]").hidden = false;
  listen(controls);
}

export const begin = draw;
