// How the shown pair's texts are seen: rendered or as written, earlier turns open or folded.
import { tokenOf } from "./csrf.js";

const cards = document.getElementById("cards");
const FOLDED = "attune.folded"; // for this session of the browser
let folded = remembered();
let raw = cards.querySelector("[data-raw-switch]")?.getAttribute("aria-pressed") === "true";

// Storage may be full or refused: the choice then lasts as long as the page.
function remembered() {
  try {
    return sessionStorage.getItem(FOLDED) === "1";
  } catch {
    return false;
  }
}

function remember() {
  try {
    sessionStorage.setItem(FOLDED, folded ? "1" : "0");
  } catch { /* nothing is lost but the choice */ }
}

const shown = () => cards.querySelector("article:not([hidden])");

// Bring a card into the views this person chose.
export function arrange(card) {
  const button = card.querySelector("[data-raw-switch]");
  if (!button) return;
  button.setAttribute("aria-pressed", raw);
  card.classList.toggle("as-written", raw);
  const earlier = card.querySelector(".earlier");
  if (earlier) earlier.open = !folded;
}

export function toggleRaw() {
  raw = !raw;
  if (shown()) arrange(shown());
  const to = cards.querySelector("[data-raw-switch]")?.dataset.rawSwitch;
  const csrfmiddlewaretoken = tokenOf(document.getElementById("dock"));
  const body = new URLSearchParams({ raw: raw ? "1" : "", csrfmiddlewaretoken });
  if (to) fetch(to, { method: "POST", body, keepalive: true }).catch(() => {}); // here it holds in any case
}

export function toggleContext() {
  folded = !folded;
  remember();
  if (shown()) arrange(shown());
}

cards.addEventListener("click", (event) => {
  if (event.target.closest("[data-raw-switch]")) toggleRaw();
  if (!event.target.closest(".earlier > summary")) return;
  event.preventDefault(); // every card keeps what is chosen here
  toggleContext();
});
