"""Every template reads as one element a line, decides nothing inside an attribute, and marks every word."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR) / "templates"
TEMPLATES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.html"))
STATIC = Path(settings.BASE_DIR) / "webapp" / "static"
SCRIPTS = sorted(
    str(path.relative_to(STATIC.parent)) for path in STATIC.parent.rglob("*.js")
)  # a kind of task has its own
LONGEST = 120  # characters of a line
CALLED = re.compile(r"(?:n?gettext|console\.warn)\((?:\s*\"[^\"]*\"\s*[+,]?)+")
SENTENCE = re.compile(r"""["`][A-Z][a-z']* [^"`]*["`]""")
COMMENT = re.compile(r"\{#.*?#\}")
ELEMENT = re.compile(r"<[a-z](?:\{%.*?%\}|\{\{.*?\}\}|\"[^\"]*\"|'[^']*'|[^>])*>", re.DOTALL)
CONTROL = re.compile(r"\{%\s*(if|elif|else|endif|for|endfor|with|endwith|ifchanged)\b")
MARKED = re.compile(r"\{%\s*blocktranslate\b.*?\{%\s*endblocktranslate\s*%\}", re.DOTALL)
TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
LITERAL = re.compile(
    r"\{%\s*include[^%]*\b(?:title|text|action|label)=\"[^\"]*[A-Za-z]"
    r"|\|default:\"[^\"]*[A-Za-z][^\"]*\"(?!\|translated)"
)
CLASSES = re.compile(r"\{% block \w+_class %\}[\w -]*\{% endblock %\}")
READ = ("title", "placeholder", "aria-label", "alt", "data-confirm", "hx-confirm")
NAMES = {
    "A",
    "B",
    "Attune",
    "CSV",
    "SHA-256",
    "n",
    "95 %, n",
}  # names and signs, the same in any language
CODE = ("script", "style", "code", "kbd", "pre")


class Words(HTMLParser):
    """Collects what a person reads of a template whose tags and marked words are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in READ]
        if tag in CODE:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.found.append(data)


def source(name: str) -> str:
    return COMMENT.sub("", (ROOT / name).read_text())


def unmarked(text: str) -> Iterator[str]:
    """Words that no translator would find."""
    yield from LITERAL.findall(text)
    words = Words()
    words.feed(TAG.sub("", MARKED.sub("", CLASSES.sub("", text))))
    for piece in "·".join(words.found).split("·"):
        said = " ".join(piece.split()).strip("(),.;:%= ")
        if re.search(r"[A-Za-z]", said) and said not in NAMES:
            yield said


def decided(text: str) -> list[str]:
    """Elements with a condition or a loop between their brackets."""
    return [element for element in ELEMENT.findall(text) if CONTROL.search(element)]


def found_in(names: list[str], look: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """What a look finds, by the file that it is in; a test for each file would take longer than the looks."""
    return {name: found for name in names if (found := look(name))}


def long_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if len(line) > LONGEST]


def test_no_line_is_longer_than_a_screen():
    assert found_in(TEMPLATES, lambda name: long_lines(ROOT / name)) == {}


def test_no_line_of_a_script_is_longer_either():
    assert found_in(SCRIPTS, lambda name: long_lines(STATIC.parent / name)) == {}


def sentences(script: str) -> list[str]:
    """Those that no translator would find."""
    text = (STATIC.parent / script).read_text()
    text = re.sub(r"^\s*//.*|\s//\s.*", "", text, flags=re.MULTILINE)
    return SENTENCE.findall(CALLED.sub("", text))


def test_every_sentence_of_a_script_is_marked():
    assert found_in(SCRIPTS, sentences) == {}


def test_nothing_is_decided_inside_an_attribute():
    assert found_in(TEMPLATES, lambda name: decided(source(name))) == {}


def test_every_word_is_marked():
    assert found_in(TEMPLATES, lambda name: list(unmarked(source(name)))) == {}


@pytest.mark.parametrize(
    "text",
    [
        "<p>Words</p>",
        '<a title="Words">{{ name }}</a>',
        '<button aria-label="Remove {{ name }}">{% translate "Remove" %}</button>',
        '{% include "components/empty.html" with title="Words" %}',
        '{{ name|default:"nobody" }}',
        '{% blocktranslate %}Marked{% endblocktranslate %} and not <em>{% translate "Marked" %}</em>',
    ],
)
def test_a_word_that_is_not_marked_is_found(text):
    assert list(unmarked(text))


@pytest.mark.parametrize(
    "text",
    [
        '<p class="a{% if b %} c{% endif %}">',
        "<details{% if open %} open{% endif %}>",
        '<a href="?{% for key in keys %}key={{ key }}{% endfor %}">',
    ],
)
def test_a_decision_in_an_attribute_is_found(text):
    assert decided(text)


@pytest.mark.parametrize(
    "text", ['{% if a > b %}<p class="{{ c }}">{% endif %}', "{% if a %}<b>{% endif %}"]
)
def test_a_decision_around_an_element_is_none_inside_it(text):
    assert decided(text) == []


def test_no_key_of_a_mapping_is_taken_for_its_items():
    """Of a mapping with a key "items", such as an address may be, `.items` is what lies there."""
    taken = re.compile(r"in [\w.]+\.(?:items|keys|values) %\}")
    looked = found_in(
        TEMPLATES, lambda name: taken.findall(without_rows((ROOT / name).read_text()))
    )
    assert looked == {}


def without_rows(text: str) -> str:
    """Without the texts of a snapshot's row, which is no mapping."""
    return text.replace("row.items", "")
