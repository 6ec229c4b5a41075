// Words that a person reads, in the page's language: those of the catalogue that came with it, else as they are.
const known = JSON.parse(document.getElementById("words")?.textContent ?? "{}");
const forms = (words) => [known[words] ?? []].flat();

export const gettext = (words) => forms(words)[0] ?? words;
export const ngettext = (one, many, count) => forms(one).at(count === 1 ? 0 : -1) ?? (count === 1 ? one : many);

// %(name)s in words stands for a value.
export const fill = (words, values) => words.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
