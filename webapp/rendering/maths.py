r"""Maths: TeX between `\(…\)`, `\[…\]`, `$$…$$` and, by a careful rule, `$…$`, as MathML.

A pair of single `$` is maths only where all of this holds, so that prices and variables are text:
the first stands behind neither a letter, a digit, a `\`, another `$` nor any of `+*?)]}.|^/`; the last
before neither a letter, a digit nor any of `({_`; what is between begins with none of `|,)_]};:.!?"'`; between them, on one line, no white space at the ends and no other `$`; and what is
between is one letter, or holds `^`, `_` or a command (`\pi`), or is letters, digits and operators with both
among them, no word of three letters, and no digit first unless there is a `=` too. `$5 and $6` never is.
`$$…$$` within a line is not maths where it begins or ends so, nor with spaces inside its ends and a word.

Formulas are untrusted: no macros, bounded length and depth, and of what the converter makes only the
elements and attributes below are kept. A formula that would lose a letter, a digit or a sign, or that the
converter does not know, is shown as written.
"""

import re
from collections import Counter
from collections.abc import Iterator, MutableMapping
from functools import lru_cache
from html import escape, unescape
from typing import Any
from unicodedata import normalize
from xml.etree.ElementTree import Element

import nh3
from latex2mathml.commands import CONVERSION_MAP, MATRICES
from latex2mathml.converter import Converter
from latex2mathml.symbols_parser import convert_symbol
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from webapp.rendering.bounds import elements, within
from webapp.rendering.written import HIDDEN, JOINER, hidden

LONGEST = 2000  # characters of a formula
WHOLE = 30_000  # of all formulas of one text, those that come to nothing too
DEPTH = 25  # braces within braces
ENDS = {r"\(": r"\)", r"\[": r"\]", "$$": "$$", "$": "$"}
DEFINES = re.compile(
    r"\\(?:[gex]?def|let|(?:re|provide)?new|renew|provide|Declare|verb|href|url|style|class)"
)
COMMENT = re.compile(r"(?<!\\)%")
# What the converter makes tables of, and which others are the same.
TABLES = {
    "matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "smallmatrix", "array", "cases",
    "split", "align*",
}  # fmt: skip
ALIKE = {
    **dict.fromkeys(("align", "aligned", "flalign", "alignat", "alignedat"), "align*"),
    **dict.fromkeys(("gather", "gathered", "multline", "multlined"), "matrix"),
    "eqnarray": "array",
    "dcases": "cases",
}
ENVIRONMENT = re.compile(
    r"\\(begin|end)\s*\{([a-zA-Z]+)(\*?)\}(?:(?:(?<=at\})|(?<=at\*\}))\s*\{\d\})?"
)
# What the converter takes for the alignment of columns, where it is none.
COLUMNS = r"\\begin\{array\}\s*\{[lcr|\s]*\}"
NO_COLUMNS = re.compile(
    rf"(?!{COLUMNS})\\begin\{{(?:array\}}|[^}}]*\}}\s*(?:\[|\{{(?!\s*\}})[lcr|\s]*\}}))"
)
UNSEEN = re.compile(
    rf"{COLUMNS}|\\(?:begin|end)\s*\{{[a-zA-Z]+\*?\}}|\\(?:left|right)\s*\.|\\[a-zA-Z]+|\\."
)
SYMBOL = re.compile(r"(?<!\\)(?:\\\\)*(?:(\\not)\s*)?(\\[a-zA-Z]+)")
COUNTED = re.compile(r"[^\W_]|[=+<>!?;:,/*()-]")
MARK = re.compile("<[^>]*>")
VISIBLE = re.compile(rf"[^\s{HIDDEN}{JOINER}]")
NEVER_BEFORE = "+*?)]}.|^/"  # a dollar that opens: it ends a pattern, or a path
NEVER_FIRST, NEVER_LAST = "|,)_]};:.!?\"'", "|,(_"
SET = re.compile(r"\\[A-Za-z]+\*?(?:\{[A-Za-z ]*\})?")
BARE = re.compile("[A-Za-z]{2,}")  # a word that no command sets
VARIABLE = LETTER = re.compile("[A-Za-z]")
PLAIN = re.compile(r"[A-Za-z0-9=+<>()|,/*.!' -]*[A-Za-z0-9)|!']")
WORD = re.compile("[A-Za-z]{3}")
POWER = re.compile(r"\\|^[^ ]*[=^]")
OPERATOR = re.compile(r"[=+<>()|/-]")
COMMAND = re.compile(r"[\^_]|\\[A-Za-z]")
TAGS = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup",
    "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "menclose",
}  # fmt: skip
YES_OR_NO = re.compile("true|false")
LENGTH = re.compile(r"[0-3](?:\.\d{1,4})?em")
ATTRIBUTES = {
    "display": re.compile("block"),
    "displaystyle": YES_OR_NO,
    "scriptlevel": re.compile("[0-2]"),
    "stretchy": YES_OR_NO,
    "fence": YES_OR_NO,
    "separator": YES_OR_NO,
    "accent": YES_OR_NO,
    "movablelimits": YES_OR_NO,
    "form": re.compile("prefix|infix|postfix"),
    "minsize": LENGTH,
    "maxsize": LENGTH,
    "width": LENGTH,
    "linethickness": re.compile("0(?:pt|em)?"),
    "mathvariant": re.compile("normal"),
}
TOKENS = {"mi", "mn", "mo", "mtext", "mspace"}  # hold text alone
NUMBER_OF = {
    **dict.fromkeys(("mfrac", "mroot", "msub", "msup", "munder", "mover"), 2),
    **dict.fromkeys(("msubsup", "munderover"), 3),
}
NOT_SHOWN = {"linebreak", "mathbackground"}  # lines and rules
# What MathML's core lacks, as classes of our own.
CLASSES = {
    ("columnalign", "left"): "l",
    ("columnalign", "right"): "r",
    ("notation", "box"): "box",
    ("notation", "updiagonalstrike"): "strike",
    ("notation", "downdiagonalstrike"): "strike",
    ("mathvariant", "bold"): "b",
    ("mathvariant", "bold-italic"): "b",
}
STRUCTURES = {*CONVERSION_MAP, *MATRICES}
# What a page keeps of a formula.
ALLOWED: dict[str, set[str]] = {
    **{tag: {"class", *ATTRIBUTES} for tag in TAGS},
    "math": {"alttext", "class", "display"},
}
KEEP = nh3.Cleaner(tags=TAGS, attributes=ALLOWED, link_rel=None)


def inline(state: StateInline, silent: bool) -> bool:
    """A formula in a line; one that cannot be converted is one piece of text."""
    start = state.pos
    opener = _opener(state.src, start)
    if opener is None:
        return False
    limit = min(state.posMax, start + LONGEST)
    end = state.src.find(ENDS[opener], start + len(opener), limit)
    if end < 0:
        return False
    tex, after = state.src[start + len(opener) : end], end + len(ENDS[opener])
    if not _is_formula(state.src, start, tex, after):
        return False
    made = _made(state.env, tex, block=opener in {r"\[", "$$"})
    token = state.push("maths" if made else "text", "", 0)
    token.content, token.info = state.src[start:after], made
    state.pos = after
    return True


def _opener(text: str, pos: int) -> str | None:
    """What opens a formula here."""
    return next((each for each in ENDS if text.startswith(each, pos)), None)


def _is_formula(text: str, start: int, tex: str, after: int) -> bool:
    """Whether what stands between the two ends may be one."""
    if not tex.strip():
        return False
    if text[start] != "$":
        return True
    before, behind = text[start - 1 : start], text[after : after + 1]
    if "$" in {before, behind} or "$" in tex or (before and before in NEVER_BEFORE):
        return False
    if tex.lstrip()[0] in NEVER_FIRST or tex[-1] in NEVER_LAST or (behind and behind in "({_"):
        return False
    if text[start + 1] == "$":
        apart = tex[0].isspace() or tex[-1].isspace()
        return before != "=" and not (apart and BARE.search(SET.sub(" ", tex)))
    return _careful(text, start, tex, after)


def _careful(text: str, start: int, tex: str, after: int) -> bool:
    """Whether a pair of single dollars is maths, by the rule above."""
    before, behind = text[start - 1 : start], text[after : after + 1]
    if before.isalnum() or before == "\\" or behind.isalnum():
        return False
    if tex != tex.strip() or "\n" in tex:
        return False
    if COMMAND.search(tex):
        return not tex[0].isdigit() or bool(POWER.search(tex))
    return bool(VARIABLE.fullmatch(tex)) or _formula(tex)


def _formula(tex: str) -> bool:
    """Whether it is letters, digits and operators, and neither words nor a price."""
    if not PLAIN.fullmatch(tex) or WORD.search(tex) or tex.count("(") != tex.count(")"):
        return False
    priced = tex[0].isdigit() and "=" not in tex
    return bool(LETTER.search(tex) and OPERATOR.search(tex)) and not priced


def block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own, whatever its lines begin with, up to a blank one."""
    begin = state.bMarks[start] + state.tShift[start]
    opener = state.src[begin : begin + 2]
    if opener not in {r"\[", "$$"} or state.is_code_block(start):
        return False
    line = start
    while not _ends(state, begin + 2, line, ENDS[opener]):
        line += 1
        if line >= end or state.isEmpty(line) or state.eMarks[line] - begin > LONGEST:
            return False
        if state.sCount[line] < state.blkIndent:
            return False
    source = state.getLines(start, line + 1, state.blkIndent, False).strip(" \t\n")
    tex = source[2:-2]
    if ENDS[opener] in tex or not (made := _made(state.env, tex, block=True)):
        return False
    if not silent:
        state.line = line + 1
        token = state.push("maths", "", 0)
        token.content, token.info, token.block = source, made, True
    return True


def _ends(state: StateBlock, inner: int, line: int, closer: str) -> bool:
    """Whether a line ends with what closes the formula whose inside begins there."""
    last = state.skipSpacesBack(state.eMarks[line], inner) - len(closer)
    return last >= inner and state.src.startswith(closer, last)


def _made(env: MutableMapping[str, Any], tex: str, *, block: bool) -> str:
    """The formula, while this text may have one more converted; each costs time by its length."""
    env["tex"] = env.get("tex", 0) + len(tex)
    made = mathml(tex, block=block) if env["tex"] <= WHOLE else ""
    env["elements"] = within(env.get("elements", 0) + elements(made))
    return made


@lru_cache(maxsize=256)
def mathml(tex: str, *, block: bool = False) -> str:
    """The formula as MathML of which nothing runs, loads or hides; empty where that cannot be."""
    if len(tex) > LONGEST or _depth(tex) > DEPTH or DEFINES.search(tex):
        return ""
    try:
        plain = ENVIRONMENT.sub(_alike, COMMENT.sub(r"\\%", tex))
        tree = Converter(display="block" if block else "inline").convert_to_element(plain)
        made = KEEP.clean("".join(_clean(tree, tex)))
    except Exception:
        return ""
    shown = unescape(MARK.sub("", made))
    kept = shown == "".join(map(_text, tree.iter()))  # by a browser's own reader
    return made if kept and _faithful(plain, shown) else ""


def _alike(found: re.Match[str]) -> str:
    """How an environment begins or ends, by a name that the converter knows."""
    name = found[2] + found[3]
    if found[2] == "equation":
        return "{" if found[1] == "begin" else "}"
    known = ALIKE.get(found[2], name)
    if known not in TABLES:
        raise UnknownElementError(name)
    columns = "{rcl}" if found[1] == "begin" and found[2] == "eqnarray" else ""
    return f"\\{found[1]}{{{known}}}{columns}"


def _depth(tex: str) -> int:
    deepest = depth = 0
    for brace in re.findall(r"[{}]|\\left|\\begin|\\right|\\end", tex):
        depth += 1 if brace in {"{", r"\left", r"\begin"} else -1
        deepest = max(deepest, depth)
    return deepest


class UnknownElementError(ValueError):
    """The converter made something that is not shown."""


def _clean(element: Element, tex: str = "") -> list[str]:
    """The element anew, of known tags, attributes and escaped text alone."""
    tag = _tag(element)
    kept = [
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if tag == element.tag and name in ATTRIBUTES and ATTRIBUTES[name].fullmatch(value)
    ]
    if named := " ".join(filter(None, map(CLASSES.get, element.attrib.items()))):
        kept.append(f' class="{named}"')
    if tex:
        kept.append(f' alttext="{escape(tex)}"')
    inner = [part for child in element for part in _clean(child)]
    return [f"<{tag}{''.join(kept)}>", escape(_text(element)), *inner, f"</{tag}>"]


def _tag(element: Element) -> str:
    """As what it is shown; a page drops what a token holds beside text, so such a one is a row."""
    number = len(element)
    known = element.tag in TAGS and not NOT_SHOWN & set(element.attrib)
    if not known or number != NUMBER_OF.get(element.tag, number):
        raise UnknownElementError(element.tag)
    if element.tag in TOKENS and number:
        if element.text:
            raise UnknownElementError(element.tag)
        return "mrow"
    return "mrow" if element.tag == "menclose" else element.tag


def _text(element: Element) -> str:
    return unescape(element.text or "")


def _faithful(tex: str, shown: str) -> bool:
    """Whether every letter, digit and sign of the source is shown, and no digit that is not there."""
    if "\\" in shown or hidden(shown) or not VISIBLE.search(shown) or NO_COLUMNS.search(tex):
        return False  # a command that the converter does not know, or nothing to be seen
    if shown.count("&") > tex.count(r"\&"):
        return False  # columns of a table that is none
    wanted = Counter(COUNTED.findall(_signs(UNSEEN.sub(" ", tex))))
    there = Counter(COUNTED.findall(_signs(shown)))
    if wanted - there or any(sign.isdigit() for sign in there - wanted):
        return False
    return not Counter(_symbols(tex)) - Counter(shown)


def _signs(text: str) -> str:
    return normalize("NFKC", text).replace("\u2212", "-")


def _symbols(tex: str) -> Iterator[str]:
    """The characters that commands alone stand for."""
    for not_, command in SYMBOL.findall(tex):
        if not not_ and command not in STRUCTURES and (code := convert_symbol(command)):
            yield chr(int(code, 16))
