"""Long runs of text in pieces that a browser lays out one by one, as they come into view.

A piece ends with a line, or where a line is longer than a piece, with a word.
"""

import re
from collections.abc import Iterator

PIECE = 4000  # of weight
LINE = 40  # what a line weighs beside its characters
LINES = re.compile(r"[^\n]*\n|[^\n]+")
WORDS = re.compile(
    rf"(?s).{{1,{PIECE - LINE}}}\Z|.{{0,{PIECE - LINE - 1}}}[ \t]|.{{1,{PIECE - LINE}}}"
)


def weight(text: str) -> int:
    """What it costs to lay a text out."""
    return len(text) + LINE * text.count("\n")


def parts(text: str) -> Iterator[str]:
    """The least that a text is cut into."""
    for line in LINES.findall(text):
        yield from [line] if len(line) + LINE <= PIECE else WORDS.findall(line)


def pieces(text: str) -> Iterator[str]:
    """The text in pieces; a short one in one."""
    piece: list[str] = []
    weighs = 0
    for part in parts(text):
        if weighs + weight(part) > PIECE and piece:
            yield "".join(piece)
            piece, weighs = [], 0
        piece.append(part)
        weighs += weight(part)
    yield "".join(piece)
