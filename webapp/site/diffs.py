"""What changed between two texts, word by word."""

import re
from difflib import SequenceMatcher

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

PIECES = re.compile(r"\s+|[^\s]+")
LONGEST = 2000  # pieces that are compared; longer texts are shown as replaced


def word_diff(before: str, after: str) -> SafeString:
    """Both texts in one: what went within `del`, what came within `ins`; nothing in it runs."""
    old, new = PIECES.findall(before), PIECES.findall(after)
    if max(len(old), len(new)) > LONGEST:
        return format_html("<del>{}</del><ins>{}</ins>", before, after)
    # Of long texts the matcher does not begin at words that are everywhere: a model that repeats itself
    # would else take time by the cube of their number.
    matcher = SequenceMatcher(None, old, new, autojunk=True)
    parts = [
        part
        for kind, i, j, k, m in matcher.get_opcodes()
        for part in _pieces(kind, "".join(old[i:j]), "".join(new[k:m]))
    ]
    return format_html_join("", "{}", ((part,) for part in parts))


def _pieces(kind: str, gone: str, come: str) -> list[str]:
    """One stretch of equal, removed, added or replaced words."""
    if kind == "equal":
        return [come]
    marked = (("<del>{}</del>", gone), ("<ins>{}</ins>", come))
    return [format_html(shape, text) for shape, text in marked if text]
