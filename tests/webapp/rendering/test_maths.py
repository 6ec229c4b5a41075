"""Formulas: which text is one, what of it is kept, and that none can hide, run or load anything."""

import re
from html import unescape
from unicodedata import normalize

import pytest
from latex2mathml import commands
from latex2mathml.symbols_parser import parse_symbols

from tests.cases import cases
from webapp.rendering.document import SAFE
from webapp.rendering.maths import mathml
from webapp.rendering.render import render

FORMULAS = [
    r"\(x\)",
    r"\[x^2\]",
    "$$a+b$$",
    "$x$",
    "$x_1$",
    r"$\pi$",
    "$n/2$",
    "$f(x)$",
    "$E=mc^2$",
    "$2x=4$",
    "costs $x$ or so",
    "($x$)",
    "so $$x = 1$$ holds",
    "so $$ x = 1 $$ holds",
    r"so $$ x = \text{all of it} $$ holds",
]
PROSE = [
    "$5 and $6", "$5-$6", "between $5 and 6$", "$HOME/$PATH", "$HOME and $PATH", "echo $A_$B", "$foo_bar,$baz", "A$AP_Rocky$",
    "$x = $y;", "US$ 5 and A$ 6", "$ 5 $", "$5/month$", "\\$x$", "`$x$`", "`\\(x\\)`", "$1$", "$$", "$$$$", "($5(US$)",
    "\\(unclosed", "\\[ \\]", "$100k_a$", "~$5 ~$6", "$a b$c", "cost is $5x or $6x",
    "/^[a-z]+$|^[0-9]+$/", "re.match('^(a+)$|^(b+)$', s)", "Price: $$ for A and $$ for B", "pid=$$ and log.$$", "($_,$_)", "^\\d*$|^x_1$",
    "[$_]{$_}", "$(ls)$(id)", "$(ls)_$(id)", "/tmp/$$.log and /tmp/$$.err", "kill $$; echo $$", "a.$$.b_$$", "(pid $$), child ($$)", "^$|^x$",
    "the $$ or $$ kind", "^[ab]?$,^x^$",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_mathml(text):
    made = render(text).html
    assert made.count("<math") == 1
    assert unescape(re.search('alttext="([^"]*)"', made)[1]) in text


@pytest.mark.parametrize("text", PROSE)
def test_prices_variables_and_code_are_no_formulas(text):
    assert "<math" not in render(text).html


def test_lines_of_a_formula_are_no_lists():
    assert render("so\n$$\na\n- b\n+ c\n# d\n$$\nthus").html.count("<math") == 1
    assert "<ul" not in render("\\[\na\n- b\n\\]").html


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:alert(1)}{x}", r"\style{position:fixed}{x}", r"\class{btn}{x}", r"\phantom{secret}", r"\color{white}{x}",
        r"\def\a{\a\a}\a", r"\newcommand{\a}{xx}\a", r"\unknown{x}", r"\hspace{-9em}x\url{x}", r"\verb|x|", "{" * 300 + "}" * 300,
        "x" * 3000, "{", r"\begin{align}", r"x_1_2", r"\text{<script>alert(1)</script>}\def\b{}", "\\", r"\left(",
        r"\rlap{x}y", r"\smash{x}", r"\textcolor{red}{x}",
    ],
)  # fmt: skip
def test_what_hides_runs_or_defines_is_shown_as_written(tex):
    assert mathml(tex) == ""
    assert "<math" not in render(f"\\({tex}\\)").html


KEPT = [
    r"\frac{a}{b}", r"\sqrt[3]{x}", r"\mathbb{R}", r"\begin{pmatrix}a&b\\c&d\end{pmatrix}", r"\text{<b>hi</b>}", "50% of x",
    r"\begin{align}a&=b\\c&=d\end{align}", r"\boxed{42}", r"\sum_{i=1}^n i^2", r"\operatorname{softmax}(x)", r"a<b>c", "x'",
    r"\begin{cases}1 & x>0\\0\end{cases}",
]  # fmt: skip


@pytest.mark.parametrize("tex", KEPT)
def test_a_formula_keeps_every_letter_digit_and_sign(tex):
    made = mathml(tex)
    shown = unescape(re.sub("<[^>]*>", "", made))
    assert made
    for part in re.findall(r"[0-9]+|[<>=+]", re.sub(r"\\begin\{\w+\}", "", tex)):
        assert part in shown


def test_nothing_of_a_formula_is_markup_of_the_page():
    made = mathml(r'\text{<img src=x onerror="alert(1)">} " \alpha')
    assert "<img" not in made
    assert set(re.findall(r"<(\w+)", made)) <= {"math", "mrow", "mtext", "mi", "mo", "mspace"}
    assert set(re.findall(r" ([a-z-]+)=", re.sub('"[^"]*"', '""', made))) <= {
        "alttext",
        "width",
        "display",
    }


KNOWN = sorted(
    {
        name
        for group in vars(commands).values()
        for name in (
            [group] if isinstance(group, str) else group if isinstance(group, (tuple, dict)) else ()
        )
        if isinstance(name, str) and re.fullmatch(r"\\[a-zA-Z]+", name)
    }
)
SHAPES = [
    r"q %s r", r"q %s{=} r", r"%s{-} r", r"%s{z}", r"%s{z}{w}", r"%s{\mathrm{name}}_{x}", r"%s{\pi}", r"%s z", r"\frac{%s{z}}{w}",
    r"\left(%s{z}\right)", r"%s{z+w}^2", r"\begin{matrix}%s{z}&w\end{matrix}", r"%s{\text{ab}}", r"{a %s b}",
]  # fmt: skip
SIGNS = r"[^\W\d_]|\d|[=+-]"


def text_of(made):
    return unescape(re.sub("<[^>]*>", "", made))


def unkept(tex):
    """What of a formula that is shown as one is not in the page; nothing where all is."""
    page = render(f"\\({tex}\\)").html
    if "<math" not in page:
        return ""
    shown = normalize("NFKC", text_of(page)).replace("\u2212", "-")
    assert text_of(SAFE.clean(mathml(tex))) == text_of(mathml(tex))
    wanted = re.findall(SIGNS, re.sub(r"\\(?:begin|end)\{\w+\}|\\[a-zA-Z]+", " ", tex))
    return "".join(each for each in wanted if each not in shown)


@cases("shape", SHAPES, quick=SHAPES[::5])
def test_every_sign_of_a_formula_is_in_the_page_whatever_command_holds_it(shape):
    lost = {tex: unkept(tex) for tex in (shape % name for name in KNOWN)}
    assert {tex: each for tex, each in lost.items() if each} == {}


def test_a_symbol_is_in_the_page_wherever_it_stands():
    for shape in (
        r"a %s b",
        r"\mathrel{%s} b",
        r"\begin{matrix}a\\ %s & \end{matrix}",
        r"\left(%s\right)",
    ):
        for name in (
            r"\pi",
            r"\le",
            r"\to",
            r"\in",
            r"\infty",
            r"\cdot",
            r"\times",
            r"\approx",
            r"\forall",
        ):
            made = mathml(shape % name)
            assert not made or chr(int(parse_symbols()[name], 16)) in text_of(made)


def test_a_formula_shows_no_character_that_is_not_seen():
    for code in ("202e", "200b", "0", "2066"):
        assert mathml(rf"a\unicode{{x{code}}}b") == ""


@pytest.mark.parametrize("mark", [r"\(%s\)", "$$%s$$", r"\[%s\]", r"* \(%s\)"])
@pytest.mark.parametrize(
    "tex",
    [
        r"\quad",
        "{}",
        r"\text{ }",
        r"\displaystyle",
        r"\,\;\!",
        r"\mathrm{}",
        "~",
        r"\frac{}{}",
        r"\hspace{1em}",
    ],
)
def test_a_formula_of_which_nothing_is_seen_is_shown_as_written(mark, tex):
    page = render(mark % tex)
    assert "<math" not in page.html
    assert tex in unescape(page.html)


LINES = [
    r"\begin{%s}x&=1\\y&=2\end{%s}", r"\begin{%s}x&=1\\y&=2\\\end{%s}", r"\left\{\begin{%s}x&=1\\y&=2\end{%s}\right.",
    r"\begin{%s*}x&=1\\y&=2\end{%s*}", r"\begin{%s}{2}x&=1\\y&=2\end{%s}", r"\begin{%s}x=1\\y=2\end{%s}",
    r"\begin{%s}[t]x&=1\\y&=2\end{%s}", r"\begin{%s}{l}+1\\y&=2\end{%s}",
]  # fmt: skip
ENVIRONMENTS = [
    "align", "aligned", "alignat", "alignedat", "flalign", "gather", "gathered", "multline", "split", "eqnarray", "cases", "dcases",
    "rcases", "matrix", "pmatrix", "bmatrix", "smallmatrix", "array", "equation", "subarray", "tabular", "foo", "dmath", "numcases",
]  # fmt: skip


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_lines_of_a_formula_stay_lines_and_columns_columns(name):
    for shape in LINES:
        made = mathml(shape % (name, name), block=True)
        assert "&" not in text_of(made), shape
        assert not made or made.count("<mtr>") == 2, shape
        assert not made or "=" not in shape[:-9] or "=" in text_of(made), shape
        assert not made or r"{l}" not in shape or name == "array" or "l" in text_of(made), shape


@pytest.mark.parametrize(
    "name",
    ["align", "aligned", "gathered", "gather", "split", "eqnarray", "cases", "dcases", "alignat"],
)
def test_environments_that_models_write_are_shown_as_formulas(name):
    columns = "&" if name not in {"gather", "gathered"} else ""
    assert mathml(rf"\begin{{{name}}}x{columns}=1\\y{columns}=2\end{{{name}}}").count("<mtr>") == 2


@pytest.mark.parametrize(
    "tex",
    [
        r"x=1 \\ y=2",
        r"{a \\ b}",
        r"\frac{a \\ b}{c}",
        "a & b",
        r"\begin{matrix}{a&b}\\c\end{matrix}",
    ],
)
def test_lines_and_columns_that_would_not_be_seen_are_shown_as_written(tex):
    assert "<math" not in render(f"$${tex}$$").html
