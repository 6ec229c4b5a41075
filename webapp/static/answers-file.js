// Answers that never reached the server, as a file of JSON lines to take away.
import { fill, ngettext } from "./words.js";

export const counted = (count) => fill(ngettext("%(count)s answer is", "%(count)s answers are", count), { count });

export function download(entries) {
  const lines = entries.map(({ fields, refusal }) => (
    JSON.stringify(refusal ? { ...fields, refused: refusal.words } : fields)
  ));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], { type: "application/jsonl" }));
  link.download = "answers-not-sent.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
