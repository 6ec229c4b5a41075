"""What is judged is what was written: nothing of a text is lost where it is rendered."""

import re
from collections import Counter
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.webapp.rendering.oracle import text_of, unshown
from tests.webapp.rendering.texts import DATA, MISSING, made_up, real
from webapp.rendering.document import Writer
from webapp.rendering.parser import MARKUP, PARSER, read
from webapp.rendering.render import BLANK, LOST, loss, render
from webapp.rendering.written import written

SHARE = 0.05  # of real texts that may be shown as written by themselves


def faults(texts):
    """Texts of which something is lost, and how many were shown as written by themselves."""
    found, raw = [], 0
    for text in texts:
        made = render(text)
        raw += not made.html
        fault = unshown(text, made.html) if made.html else ""
        if fault or text_of(written(text)) != text:
            found.append((text, fault or "the raw view is another text"))
    return found, raw


def seen(text):
    """The text of its rendering, without the elements."""
    return unescape(re.sub("<[^>]*>", "", re.sub("</(p|pre)>(?=<)", "\n", render(text).html)))


def test_every_character_of_made_up_texts_appears_in_order():
    assert faults(map(made_up, range(600)))[0] == []


@pytest.mark.prove
def test_every_character_of_twenty_thousand_texts_appears_in_order():
    assert faults(map(made_up, range(20_000)))[0] == []


def test_every_character_of_a_sample_of_real_texts_appears_in_order():
    """Of others where the real ones are not there."""
    texts = real()[::8] if DATA.is_dir() else [made_up(seed) for seed in range(600, 1000)]
    found, raw = faults(texts)
    assert found == []
    assert raw <= SHARE * len(texts)


@pytest.mark.foreign
@pytest.mark.skipif(not DATA.is_dir(), reason=MISSING)
@pytest.mark.prove
def test_every_character_of_all_real_texts_appears_in_order():
    found, raw = faults(texts := real())
    print(f"{raw} of {len(texts)} shown as written by themselves")
    assert len(texts) > 2000
    assert found == []
    assert raw <= SHARE * len(texts)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_the_raw_view_is_the_text_whatever_it_holds(text):
    assert text_of(written(text)) == text


@settings(max_examples=40)
@given(st.lists(st.from_regex(r"[ \t]*[a-z,.]+([ \t]{1,4}[a-z,.]+){0,3}[ \t]*", fullmatch=True)))
def test_indentation_and_spaces_within_lines_stay(lines):
    text = "\n".join(lines)
    if text.strip():
        assert seen(text).split("\n") == text.split("\n")


PLAIN = [
    "__init__", "a*b*c", "C:\\_x", "&lt;b&gt;", "2*3*4", "snake_case and _private_", "*.py *.js", "**/*.py and **/*.js",
    "two  spaces", "f(*args, **kwargs)", "[1]: https://e.org", "[a][b]", "![alt](https://e.org/i.png)", "<tag>", "<!-- c -->",
    "a <b>b</b>", "#tag", "C# and F#", "\\*not\\*", "a\\\nb", "a  \nb", "$5 and $6", "x\n===", "Foo\n-", "x*y* z", "src/*.py*", "a*b* c**d** e", "https://e.org/a_b_c*d*e",
    "&nbsp;&#65;", "1\\. a", "~x~ and ~~~~", "2**3**4", "char *p, *q;",
    "*foo*.txt", "rm -rf *~ *.bak*", "*foo*bar*", "*_test* *_spec*", "cp *foo*.txt *bar*.md", "ls *a-b*c*", "*f(a*b)*", "**foo**.md",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_markup_is_rendered_to_the_letter(text):
    made = render(text).html
    assert seen(text) == text
    assert not re.search("<(em|strong|del|code|a|h1|img|b|ul|math)\\b", made)


def test_what_a_rendering_would_lose_is_noticed():
    """The last look at a rendering, whatever its parser did."""
    assert loss_of("a b", "a b") == ""
    assert loss_of("**a** b", "a b", "****") == ""
    assert [loss_of(*each) for each in LOSSES] == [LOST] * len(LOSSES)
    assert loss_of("*", "", "*") == BLANK


LOSSES = [
    ("a b", "b a"),
    ("a! b", "a b"),
    ("**a** b", "a b", "**"),
    ("a b", "a"),
    ("a", "a!"),
    ("1. a", "a", "."),
    ("a\u00a0", "a"),
]


def loss_of(source, shown, markers=""):
    writer = Writer(source)
    writer.shown, writer.markers = [shown], Counter(markers)
    return loss(source, writer)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1969. Apollo 11 landed", ["1969."]),
        ("1. a\n3. b\n7. c", ["1.", "3.", "7."]),
        ("7) x\n7) y", ["7)", "7)"]),
        ("01. a\n02. b", ["01.", "02."]),
        ("0. a", ["0."]),
        ("1. a\n\n   5. b\n2. c", ["1.", "5.", "2."]),
        ("> 4. a\n>\n> 9. b", ["4.", "9."]),
        ("999999999. a", ["999999999."]),
    ],
)
def test_lists_keep_the_numbers_that_were_written(text, numbers):
    assert re.findall('<span class="n">([^<]*)</span>', render(text).html) == numbers
    assert unshown(text, render(text).html) == ""


@pytest.mark.parametrize("depth", [2, 9, 19])
@pytest.mark.parametrize("mark", ["> ", "- ", ">", "1. "])
def test_nesting_is_kept(mark, depth):
    text = mark * depth + "deep"
    made = render(text).html
    assert len(re.findall("<(?:blockquote|li)\\b", made)) == depth
    assert unshown(text, made) == ""


@pytest.mark.parametrize("depth", [21, 60, 5000])
@pytest.mark.parametrize("mark", [">", "> ", "- ", "1. ", "* - "])
def test_nesting_that_is_not_rendered_is_shown_as_written(mark, depth):
    made = render(mark * depth + "deep")
    assert made.html == ""
    assert made.why


@pytest.mark.parametrize(
    "text", ["*", "- ", "---", "```", "> ", "\u200b", " ", "\n\n", "\u00a0", "#", "***"]
)
def test_a_text_of_which_nothing_would_be_seen_says_so(text):
    made = render(text)
    assert made.html == "" or seen(text).strip()
    assert made.html or made.why


UNSEEN = [
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\x0c",
    "\x00",
    "\x85",
    "\u2028",
    "\U000e0041",
    "\u3164",
    "\xad",
]


@pytest.mark.parametrize("character", UNSEEN)
def test_characters_that_are_not_seen_are_marked(character):
    made = render(f"pay{character}load")
    assert f"U+{ord(character):04X}" in made.why
    assert f"data-c={ord(character):04X}>" in written(f"pay{character}load")


JOINERS = [
    "\u200d",
    "\u200c",
    "\u200e",
    "\u200f",
    "\ufe0f",
    "\ufe00",
    "\u200d\u200d",
    "\u200c\ufe0f",
]


@pytest.mark.parametrize("joiner", JOINERS)
@pytest.mark.parametrize(
    "between",
    [
        "yl",
        "5a",
        "_x",
        "él",
        "ßt",
        "αβ",
        "пр",
        "字字",
        "のカ",
        "한국",
        "aп",
        "e\u0301a",
        "\uff21\uff11",
    ],
)
def test_joiners_between_letters_that_join_nothing_are_marked(joiner, between):
    text = f"{between[:-1]}{joiner}{between[-1]}"
    assert f"U+{ord(joiner[0]):04X}" in render(text).why
    assert f"data-c={ord(joiner[0]):04X}>" in written(text)
    assert f"U+{ord(joiner[0]):04X}" in render(f"`{text}` and more").why


def test_joined_emoji_flags_and_letters_are_no_secret():
    for text in (
        "👩‍👩‍👧 ❤️",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "می‌خواهم",
        "1️⃣ 2️⃣a #️⃣",
        "क्‍ष ක්‍ර",
        "a שלום\u200e (abc)",
        "ok ✔️a",
    ):
        assert render(text).html
        assert "class=u" not in written(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("* a", "- a"), ("***\nx", "---\nx"), ("a b", "a  b"), ("a b", "a\u00a0b"), ("ab", "a\u200bb"), ("a", "a\n"),
        ("a\nb", "a\r\nb"), ("*a*", "*a* "), ("é", "e\u0301"), ("# a", "#  a"), ("```\na\n```", "~~~\na\n~~~"),
        ("$x^2$", "$x^{2}$"), (r"\(\frac12\)", r"\(\frac{1}{2}\)"), (r"\(a+b\)", r"\({a+b}\)"), (r"\(12\)", r"\({1}2\)"),
        (r"\(x\)", r"\(\mathord{x}\)"), (r"\(\sqrt{ab}\)", r"\(\sqrt{{a}b}\)"), (r"\(\le\)", r"\(\leq\)"),
        (r"\(x_{12}\)", r"\(x_{{1}2}\)"), (r"\[a\]", "$$a$$"), (r"\(\displaystyle a+b\)", r"\(a+b\)"), (r"\[\dfrac12\]", r"\[\frac12\]"),
        ("**a** **b**", "**a b**"), ("*a* *b*", "*a b*"), ("~~a~~ ~~b~~", "~~a b~~"), ("`a` `b`", "`a b`"), ("**a**\n**b**", "**a\nb**"),
    ],
)  # fmt: skip
def test_texts_that_look_alike_have_one_look(one, other):
    if one != other:
        assert (
            bool(render(one).html) != bool(render(other).html)
            or render(one).look == render(other).look
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("&lt;b&gt;", "<b>"),
        ("**a**", "a"),
        ("1. a", "2. a"),
        ("a", "b"),
        ("ab", "a b"),
        ("a\nb", "a b"),
        ("*a* b", "*a*, b"),
        ("**a** b", "**a b**"),
        ("**a** *b*", "**a b**"),
        (r"\(\frac{1}{12}\)", r"\(\frac{11}{2}\)"),
        (r"\(\sqrt{a}b\)", r"\(\sqrt{ab}\)"),
        (r"\(\sqrt{a}\)", r"\(a\)"),
        (r"\(x^{12}\)", r"\(x^12\)"),
        (r"\(\boxed{a}\)", r"\(a\)"),
        (r"\(\cancel{a}\)", r"\(a\)"),
        (r"\(\mathbf{ab}\)", r"\(ab\)"),
        (r"\(a\quad b\)", r"\(ab\)"),
        (r"\(x_a\)", r"\(x^a\)"),
        (r"\[a\]", r"\(a\)"),
        (r"\begin{matrix}a&b\end{matrix}", r"\begin{matrix}ab\end{matrix}"),
        ("\\*", "*x"),
    ],
)
def test_texts_that_look_different_have_not(one, other):
    assert render(one).look != render(other).look


def test_paragraphs_have_a_direction_of_their_own():
    made = render("שלום.\n\n- world\n\n| a | ב |\n|-|-|\n| c | ד |\n\n# כן").html
    assert len(re.findall('dir="auto"', made)) == len(re.findall("<(?:p|li|th|td|h1)\\b", made))
    assert written("שלום.").startswith("<pre dir=auto>")


def test_code_keeps_its_language_and_all_it_holds():
    made = render('```python title="x"\n\n  def f(a):  # c\n\treturn "*a*"\n```').html
    assert 'python title="x"' in unescape(made)
    assert '<span class="k">def</span>' in made
    assert (
        unescape(re.sub("<[^>]*>", "", made.split("<pre>")[1]))
        == '\n  def f(a):  # c\n\treturn "*a*"'
    )


@pytest.mark.parametrize("join", [" ", "\n", "\n\n", ""])
@pytest.mark.parametrize("word", ["word", "*word*", "שלום", "\\(x\\)", "`a`"])
def test_a_long_text_in_pieces_is_the_same_text(word, join):
    text = join.join([word] * 3000)
    made = render(text).html
    assert made == "" or unshown(text, made) == ""
    assert made == "" or 'class="piece"' in made or 'class="part"' in made
    assert text_of(written(text)) == text


@given(st.text(st.sampled_from("ab .\n\t"), max_size=30))
def test_text_without_markup_is_read_as_the_parser_would(text):
    if text.strip() and not MARKUP.search(text):
        assert Writer(text).html(read(text)) == Writer(text).html(PARSER.parse(text, {}))


def test_a_table_whose_rows_are_longer_than_its_head_is_shown_as_written():
    assert render("|a|b|\n|-|-|\n|1|2|").html
    assert render("|a|b|\n|-|-|\n|1|2|3|").why


GROUPS = st.recursive(
    st.sampled_from(["x", "12", "+", r"\pi ", "=", "a"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        inner.map("{{{}}}".format),
        st.tuples(inner, inner).map(lambda each: rf"\frac{{{each[0]}}}{{{each[1]}}}"),
        inner.map(r"\sqrt{{{}}}".format),
        st.tuples(inner, inner).map(lambda each: rf"{{{each[0]}}}^{{{each[1]}}}"),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(GROUPS, GROUPS)
def test_braces_that_only_group_are_not_seen_in_a_formula(one, other):
    plain, grouped = render(rf"\({one} {other}\)"), render(rf"\({{{one}}}{{{{{other}}}}}\)")
    assert "<math" in plain.html
    assert plain.look == grouped.look
