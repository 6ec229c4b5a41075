// Words that a person reads, marked so that they can be collected for translation; there is no catalogue yet.
export const gettext = (words) => words;
export const ngettext = (one, many, count) => (count === 1 ? one : many);

// %(name)s in words stands for a value.
export const fill = (words, values) => words.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
