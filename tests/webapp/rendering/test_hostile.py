"""Hostile texts: nothing runs, loads or leads astray, and none takes more time than its length."""

import re
import time
from html.parser import HTMLParser
from random import Random

import pytest

from tests.cases import cases
from tests.webapp.rendering.texts import STARTS, WORDS, made_up
from webapp.rendering import document
from webapp.rendering.bounds import ELEMENTS, TOO_MUCH, TooMuchError, elements
from webapp.rendering.colours import LANGUAGES, LINE, LONGEST, coloured
from webapp.rendering.document import Writer
from webapp.rendering.maths import mathml
from webapp.rendering.parser import read
from webapp.rendering.render import render
from webapp.rendering.written import MARKS, written
from webapp.site.diffs import word_diff

LONG = 200_000
SLOWEST = 1.0  # s for 200 kB, with room for a busy machine
MARKERS = [
    "*", "**", "_", "~", "~~", "`", "``", "[", "]", "](", "[](", "![", "<", ">", "> ", "- ", "+ ", "1. ", "#", "# ", "|", "\\", "$",
    "$$", "\\(", "\\[", "&", "&amp;", "\n", "\n\n", " ", "\t", "\r", "    ", "```\n", "~~~\n", "---\n", "|-|\n", "\"", "(", "<https://e.org>",
    "[a](https://e.org)", "**a** ", "*a* ", "*a", "a*", "_a_", "`a` ", "``a` ", "~~a~~ ", "# a\n", "- a\n", "> a\n", "1. a\n", "a\n", "a\n\n",
    "\\(x\\)", "$x$ ", "$x ", "[a]: b\n", "| a ", "|a|b|\n|-|-|\n", "|-|-|\n", "- - ", "  - a\n", "> > ", "* - ", "\u202e", "\u200b ",
    "a  ", "שלום ", "[x](<", "](\"", "\\\n", "```a\n```\n", "<!--", "{", "\\frac{", "&#x41;", "é", "a|", "[[", "***a", "**a *b ",
]  # fmt: skip
WIDE = {
    "2,000 columns": "|" + "a|" * 2000 + "\n|" + "-|" * 2000 + "\n" + ("|" + "b|" * 2000 + "\n") * 4,
    "300 columns": ("|" + "a|" * 300 + "\n|" + "-|" * 300 + "\n" + "|x|\n" * 3000) * 2,
    "no pipes": "a|b\n" + "-|-\n" + "x\n" * 60_000,
    "deeper and deeper": "\n".join("  " * depth + "- a" for depth in range(440)),
    "quotes in quotes": "\n".join(">" * depth + " a" for depth in range(600)),
    "backticks of every length": " ".join("`" * length for length in range(600)),
    "brackets and back": "[" * 90_000 + "](https://e.org)" * 900,
    "one long word": "a" * LONG,
    "rule or list": "- " * 90_000 + "x",
    "spaces in a link": "[a](" + " " * LONG + ")",
    "link ends": "[a](x \"" * 20_000,
    "letters and stars": "a*" * 4000 + "b" * 100_000,
    "formulas": "\\(" + "\\(x" * 3000,
    "dollars": "$a" * 3900,
    "formulas that end late": "]`# a\n$$" * 875,
    "other formulas that come to nothing": "".join(f"$$ {n} \\foo\n" for n in range(3900)),
    "mail without end": "<mailto:" + "@" * LONG,
    "mail that is none": ("<mailto:" + "a@" * 2000) * 40,
    "mail in a link": "[a](mailto:" + "@" * LONG + "<)",
    "many formulas": "\\(x_1^2+\\frac{1}{2}\\) " * 3000,
}  # fmt: skip


def spent(act):
    """Seconds of this processor."""
    before = time.process_time()
    act()
    return time.process_time() - before


def held(text):
    made = render(text)
    assert made.html or made.why
    assert elements(made.html) <= ELEMENTS
    raw = written(text)
    assert raw.count("<i") <= MARKS
    assert len(raw) <= 9 * len(text) + 100_000


@cases("marker", MARKERS, quick=MARKERS[::6])
def test_a_marker_without_end_takes_time_by_its_length(marker):
    assert spent(lambda: held(marker * (LONG // len(marker)))) < SLOWEST


@pytest.mark.parametrize("name", WIDE)
def test_a_construct_without_end_takes_time_by_its_length(name):
    assert spent(lambda: held(WIDE[name][: 2 * LONG])) < 2 * SLOWEST


@cases("seed", range(20), quick=range(5))
def test_markers_in_turn_take_time_by_their_length(seed):
    chance = Random(seed)
    piece = "".join(chance.choice(MARKERS + WORDS + STARTS) for _ in range(chance.randint(2, 9)))
    for length in (7_000, LONG):  # below the cap on elements, and beyond it
        assert spent(lambda length=length: held((piece * length)[:length])) < SLOWEST


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(20, 1000))
def test_any_markers_in_turn_take_time_by_their_length(seed):
    test_markers_in_turn_take_time_by_their_length(seed)


PARTS = {
    "formulas": " ".join(rf"\(x_{{{n}}}{'+a' * 900}\)" for n in range(15)),
    "formulas as blocks": "\n\n".join(f"$$\n{n}{'+{a}' * 400}\n$$" for n in range(15)),
    "words": "**a** `b` " * 2500,
    "lists": "- a\n" * 4100,
}


@pytest.mark.parametrize("name", PARTS)
def test_writing_ends_where_elements_are_too_many(name, monkeypatch):
    written_to = []
    monkeypatch.setattr(document, "SAFE", written_to)  # the last that is done to a text
    with pytest.raises(TooMuchError):
        Writer(PARTS[name]).html(read(PARTS[name]))
    assert render(PARTS[name]).why == TOO_MUCH
    assert spent(lambda: render(PARTS[name])) < SLOWEST / 2


def test_a_hundred_long_formulas_take_little_time():
    text = " ".join(rf"\({n}+{'x_1+{a}' * 270}\)" for n in range(100))
    assert spent(lambda: render(text)) < SLOWEST / 2


def test_prose_is_rendered_however_long_it_is():
    prose = "\n\n".join(
        "*Then* " + "a sentence that goes on for a while. " * 12 for _ in range(500)
    )
    assert len(prose) > LONG
    assert spent(lambda: render(prose)) < SLOWEST
    assert render(prose).html


SOME = sorted(LANGUAGES)[::7]
PIECES = [
    "\"", "'", "/*", "<", "{", "(", "a", "\\", "`", "${", "#{", "//", "0", " ", "\"\\", "<!--", "'''", "[[", "a:", "@", "r#",
]  # fmt: skip


def lexed(language, pieces):
    for piece in pieces:
        line = (piece * LINE)[: LINE - 1] + "\n"
        assert spent(lambda line=line: coloured((line * 20)[:LONGEST], language)) < SLOWEST


HOSTILE = [
    "x" + "\n" * 5900 + "x", ("a " * 240 + "\n") * 12, ("\tA" * 240 + "\n") * 12, "A\n" * 2900, "/*x" * 160 + "\n", "a" + "\n" * 5900,
    ("\r" * 480 + "\n") * 12, ("a<" * 240 + "\n") * 12, ("\"" * 480 + "\n") * 12,
]  # fmt: skip


def colours_of(language, codes):
    for code in codes:
        text = f"```{language}\n{(code * 40)[: LONGEST - 9]}\n```\n" * 6
        assert spent(lambda text=text: render(text)) < SLOWEST


@cases("language", sorted(LANGUAGES), quick=SOME)
def test_colours_of_a_whole_text_are_bounded(language):
    colours_of(language, HOSTILE[:2])


@pytest.mark.prove
@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_colours_of_a_whole_text_are_bounded_whatever_its_code(language):
    colours_of(language, HOSTILE)


@cases("language", sorted(LANGUAGES), quick=SOME)
def test_no_lexer_takes_long(language):
    lexed(language, PIECES[::7])


@pytest.mark.prove
@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_lexer_takes_long_over_anything(language):
    lexed(language, PIECES)


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "\\frac",
        "\\left(",
        "\\text{",
        "x^{",
        "\\sqrt",
        "&",
        "\\\\",
        "'",
        "\\begin{matrix}",
        "a",
        "1",
        "\\",
        "_",
        "$",
    ],
)
def test_no_formula_takes_long(piece):
    assert spent(lambda: mathml((piece * 2000)[:2000])) < SLOWEST


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a b " * 60_000, "a c " * 60_000),
        ("x" * LONG, "y" * LONG),
        (" " * LONG, "\n" * LONG),
        ("a " * 990, "b a " * 490),
    ],
)
def test_a_difference_takes_time_by_its_length(before, after):
    assert spent(lambda: word_diff(before, after)) < SLOWEST


# What follows is about what a page may hold.
RUNS = [
    "<script>x</script>", "<img src=x onerror=x>", "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](data:text/html,x)",
    "<javascript:alert(1)>", "[a](https://e.org\" onclick=\"x)", "[a](https://e.org \"t\" onclick=x)", "```\"><script>\nx\n```",
    "```python\n</code></pre><script>x</script>\n```", "\\(\\text{</math><script>x</script>}\\)", "<math><mtext><style><img src=x onerror=x>",
    "[<img src=x>](https://e.org)", "| <svg onload=x> |\n|-|\n| </table><script> |", "1. </li><script>x", "[a](vbscript:x)", "[a](//e.org)",
    "<https://e.org/\"onmouseover=\"x>", "[a](https://e.org/'><script>)", "<svg><style></style><img src=x onerror=x></svg>", "&lt;script&gt;",
    "[a](ht\ntps://e.org)", "[a](\x01javascript:x)", "[a](https:javascript:x)", "$\\text{<img src=x>}_1$", "<a href=x hx-post=/logout>x</a>",
]  # fmt: skip
NAMES = {
    "href", "target", "rel", "referrerpolicy", "class", "dir", "value", "start", "alttext", "display", "data-host", "data-c",
    "stretchy", "fence", "form", "accent", "width", "mathvariant", "displaystyle", "scriptlevel", "linethickness", "separator",
    "movablelimits", "minsize", "maxsize",
}  # fmt: skip
BARRED = {
    "script",
    "img",
    "svg",
    "style",
    "iframe",
    "form",
    "input",
    "annotation-xml",
    "maction",
    "base",
    "link",
    "object",
}


class Page(HTMLParser):
    """Every element of a page."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def safe(html):
    for tag, attributes in Page(html).found:
        assert tag not in BARRED
        assert set(attributes) <= NAMES
        if tag == "a":
            assert re.match("(https://|mailto:)", attributes["href"])
            assert attributes["target"] == "_blank"
            assert attributes["referrerpolicy"] == "no-referrer"
            assert set(attributes["rel"].split()) == {"noopener", "noreferrer", "nofollow"}


@pytest.mark.parametrize("text", RUNS)
def test_nothing_of_a_text_runs_or_loads(text):
    safe(render(text).html)
    safe(written(text))


def test_nothing_of_mixed_texts_runs_or_loads():
    chance = Random(7)
    for seed in range(300):
        text = made_up(seed) + chance.choice(RUNS) + made_up(seed + 1000) + chance.choice(RUNS)
        safe(render(text).html)
        safe(written(text))


@pytest.mark.parametrize(
    "address",
    [
        "http://e.org/a",
        "ftp://e.org",
        "javascript:x",
        "/accounts/logout/",
        "#x",
        "tel:1",
        "//e.org",
    ],
)
def test_other_addresses_are_text_that_shows_them(address):
    made = render(f"[text]({address}) and <{address}>").html
    assert "<a " not in made
    assert made.count(address) == 2


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://e.org/a_b", ""), ("https://google.com@evil.org/", "evil.org"), ("https://\u0430pple.com/", "xn--pple-43d.com"),
        ("https://user:pass@e.org", "e.org"),
    ],
)  # fmt: skip
def test_a_link_shows_its_whole_target_and_the_host_it_could_hide(address, host):
    made = render(f'[bank]({address} "title")').html
    assert f'({address} "title")' in made
    assert (f'data-host="{host}"' in made) == bool(host)
