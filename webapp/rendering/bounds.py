"""How much markup a text may hold before it is shown as written: counted in one pass, before it is read.

A cap on the elements that rendering would make, not on bytes; and on all that makes a parser slower than
the text is long.
"""

import re

ELEMENTS = 4000  # that one rendering may hold
MARKS = 8000  # characters at which something in a line could begin
LEVELS = 20  # of lists and quotes on one line
COLUMNS = 50
CELLS = 3000

BLOCK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]|[-+*>]|\d{1,9}[.)][ \t]|```|~~~)", re.MULTILINE)
PARAGRAPH = re.compile(r"\n[ \t]*\n[ \t\n]*")
INLINE = re.compile(r"[\\`*~\[<$]+")
LEVEL = r"[ \t]*(?:>|(?:[-+*]|\d{1,9}[.)])(?=[ \t]))"
NESTED = re.compile(rf"^(?:{LEVEL}){{{LEVELS + 1}}}", re.MULTILINE)
RULE = re.compile(r"^[ \t>]*(?:\|[ \t]*)?:?-+:?[ \t]*(?:\|[ \t:|-]*)?$", re.MULTILINE)
TOO_MUCH = f"it holds more markup than is rendered (over {ELEMENTS:,} parts)"
TOO_DEEP = f"its lists or quotes are deeper than is rendered ({LEVELS} levels)"
TOO_WIDE = f"its tables are larger than is rendered ({COLUMNS} columns, {CELLS:,} cells)"


class TooMuchError(ValueError):
    """More elements than one rendering may hold, found while it is made."""


def elements(html: str) -> int:
    """How many elements a browser makes of it."""
    return html.count("<") - html.count("</")


def within(number: int) -> int:
    """So many elements, where one rendering may hold them."""
    if number > ELEMENTS:
        raise TooMuchError
    return number


def beyond(text: str) -> str:
    """Why a text is not rendered; empty where it can be."""
    marks = INLINE.findall(text)
    blocks = len(BLOCK.findall(text)) + len(PARAGRAPH.findall(text))
    if blocks + len(marks) // 2 > ELEMENTS or sum(map(len, marks)) > MARKS:
        return TOO_MUCH
    if NESTED.search(text):
        return TOO_DEEP
    return TOO_WIDE if _cells(text) > CELLS else ""


def _cells(text: str) -> int:
    """How many cells its tables can have, one row for each line up to a blank one."""
    cells = 0
    for rule in RULE.finditer(text):
        columns = rule[0].count("|") + 1
        if columns < 2:
            continue
        if columns > COLUMNS + 1:
            return CELLS + 1
        blank = PARAGRAPH.search(text, rule.end())
        rows = text.count("\n", rule.end(), blank.start() if blank else len(text)) + 2
        cells += rows * columns
        if cells > CELLS:
            break
    return cells
