// A conversation: the server has what was said, and answers come while somebody waits. This shows how it stands, asks
// again while answers are on their way, and sends what is said or chosen; the button that ends it is the page's own.
import { tokenOf } from "../../csrf.js";
import { gettext } from "../../words.js";

const PAUSE = 700; // ms between two looks
const AWAY = 4000; // ms, where nobody sees the page or the network is gone
const WAITING = new Set(["waiting", "alone", "lost"]);
const UNSENT = gettext("You wrote something that is not sent: send it, or take it back, before you end.");
const OFFLINE = gettext("No network: this goes on by itself as soon as it works again.");
let [part, box, told, send, choices, saying] = [null, null, null, null, null, null];
let card = null; // that is shown
let timer = 0;
let busy = false; // something is on its way

const dock = document.getElementById("dock");
const place = () => card?.querySelector("[data-conversation]");
const isShown = () => Boolean(card?.isConnected && !card.hidden);
const now = () => place()?.querySelector("[data-state]")?.dataset ?? {};

// Said once, so that it is read aloud once.
function tell(words) {
  if (told.textContent !== words) told.textContent = words;
}

function draw() {
  const { state = "", told: words = "", send: word = "" } = now();
  tell(words);
  choices.hidden = state !== "choosing";
  saying.hidden = state !== "chosen";
  send.hidden = !word;
  send.querySelector("[data-word]").textContent = word;
  part.dataset.state = state;
}

function again() {
  clearTimeout(timer);
  if (!isShown() || !WAITING.has(now().state)) return;
  timer = setTimeout(look, document.hidden ? AWAY : PAUSE);
}

function show(text) {
  const before = now().state;
  place().replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.children);
  const newest = place().querySelector("[data-state]").lastElementChild;
  if (now().state !== before) newest?.scrollIntoView({ block: "nearest" });
}

// What the server says of the conversation of the card that is shown; whether it took what was sent.
async function request(fields) {
  const [asked, url] = [card, new URL(place().dataset.conversation, location.href)];
  const about = { act: "look", assignment: asked.dataset.assignment, form: dock.elements.form.value, ...fields };
  const options = { headers: { "HX-Request": "true" } };
  if (about.act === "look") url.search = new URLSearchParams(about);
  else {
    options.method = "POST";
    options.body = new URLSearchParams({ ...about, as: dock.dataset.user, csrfmiddlewaretoken: tokenOf(dock) });
  }
  const response = await fetch(url, options);
  const text = await response.text();
  if (card !== asked) return false;
  if (response.ok) show(text);
  draw();
  if (!response.ok) tell(response.status < 500 ? JSON.parse(text).error : OFFLINE);
  return response.ok;
}

async function look() {
  clearTimeout(timer);
  if (!isShown()) return;
  try {
    await request({});
    again();
  } catch {
    tell(OFFLINE);
    timer = setTimeout(look, AWAY);
  }
}

// Say or choose something; what is refused is told, and the conversation shown as it is.
async function act(fields) {
  if (busy || !card) return false;
  busy = true;
  try {
    const taken = await request({ seen: now().seen ?? 0, ...fields });
    const words = told.textContent;
    if (!taken) await request({});
    if (!taken) tell(words);
    again();
    return taken;
  } catch {
    tell(OFFLINE);
    return false;
  } finally {
    busy = false;
  }
}

async function say() {
  const { state } = now();
  if (state === "failed") return act({ act: "again" });
  const said = state === "chosen" ? box.value : "";
  if (!(await act({ act: "ask", said }))) return;
  box.value = "";
  box.dispatchEvent(new Event("input", { bubbles: true })); // no draft of it any more
  box.blur(); // the next key chooses
}

async function choose(choice) {
  if (now().state === "choosing" && await act({ act: "choose", choice }) && now().state === "chosen") box.focus();
}

function listen(controls) {
  part = controls;
  box = controls.querySelector("textarea");
  const parts = ["told", "send", "choices", "saying"];
  [told, send, choices, saying] = parts.map((name) => controls.querySelector(`[data-${name}]`));
  controls.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === send) say();
    if (button?.dataset.choice) choose(button.dataset.choice);
    if (button?.name === "ended" && box.value.trim()) {
      event.preventDefault();
      tell(UNSENT);
    }
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && isShown()) look(); });
  addEventListener("online", () => { if (isShown()) look(); });
}

export function prepare(shown, controls) {
  if (!part) listen(controls);
  clearTimeout(timer);
  card = shown;
  draw();
}

export const begin = look;
