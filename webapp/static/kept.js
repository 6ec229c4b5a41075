// On pages where somebody ends who was put out of the label page: answers that were never sent are still in
// this browser, and can be taken away.
import { counted, download } from "./answers-file.js";
import * as store from "./store.js";
import { fill, gettext } from "./words.js";

const OUTBOX = /^attune:\d+:\/p\/\d+\/label\/:\d/;
const entries = store.keys("attune:").filter((key) => OUTBOX.test(key)).sort().map(store.object).filter(Boolean)
  .map((entry) => (entry.fields ? entry : { fields: entry })); // so were they kept once
const section = document.getElementById("kept");
if (section && entries.length) {
  section.hidden = false;
  section.querySelector("[data-words]").textContent = fill(
    gettext("%(answers)s kept in this browser and not sent yet. The label page sends them when you are signed in " +
      "and may label there."),
    { answers: counted(entries.length) },
  );
  section.querySelector("button").addEventListener("click", () => download(entries));
}
