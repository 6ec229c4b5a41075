// The panel of answers that have not reached the server: why, and what their person can do about it.
const $ = (id) => document.getElementById(id);
const panel = $("delivery");
const line = panel.querySelector("[data-words]");
const button = (what) => panel.querySelector(`[data-do="${what}"]`);

export const counted = (count) => `${count} ${count === 1 ? "answer is" : "answers are"}`;

function words({ count, refused, trouble, failing }) {
  const said = [];
  for (const each of new Set(refused.map((entry) => entry.refusal.words))) said.push(`Not accepted, and kept here: ${each}`);
  const waiting = count - refused.length;
  if (failing && trouble && waiting) said.push(`${trouble.words} ${counted(waiting)} kept in this browser and sent again by themselves.`);
  return said.join(" ");
}

export function show(state) {
  const said = words(state);
  panel.hidden = !said;
  if (line.textContent !== said) line.textContent = said;
  button("mend").hidden = button("discard").hidden = !state.refused.length;
}

// A file of JSON lines, one an answer, with the reason where there is one.
export function download(entries) {
  const lines = entries.map(({ fields, refusal }) => JSON.stringify(refusal ? { ...fields, refused: refusal.words } : fields));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], { type: "application/jsonl" }));
  link.download = "answers-not-sent.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function listen(acts) {
  panel.addEventListener("click", ({ target }) => acts[target.dataset.do]?.());
}
