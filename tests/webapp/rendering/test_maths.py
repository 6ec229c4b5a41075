"""Formulas: which text is one, what of it is kept, and that none can hide, run or load anything."""

import re
from html import unescape

import pytest

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
]
PROSE = [
    "$5 and $6", "$5-$6", "between $5 and 6$", "$HOME/$PATH", "$HOME and $PATH", "echo $A_$B", "$foo_bar,$baz", "A$AP_Rocky$",
    "$x = $y;", "US$ 5 and A$ 6", "$ 5 $", "$5/month$", "\\$x$", "`$x$`", "`\\(x\\)`", "$1$", "$$", "$$$$", "($5(US$)",
    "\\(unclosed", "\\[ \\]", "$100k_a$", "~$5 ~$6", "$a b$c", "cost is $5x or $6x",
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
