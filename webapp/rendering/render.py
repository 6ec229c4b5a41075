"""One text to what a page shows of it: HTML, or the reason why it is shown as written."""

import re
from collections import Counter
from hashlib import sha256
from html import unescape
from typing import NamedTuple
from unicodedata import normalize

from webapp.rendering.bounds import TOO_MUCH, TooMuchError, beyond
from webapp.rendering.document import Writer
from webapp.rendering.maths import TOKENS
from webapp.rendering.parser import read
from webapp.rendering.written import hidden

NEWLINE = re.compile(r"\r\n?")
NOT_WORDS = re.compile(r"[\W_]+")
TAG = re.compile(r"<[^>]*>")
INVISIBLE = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
NOT_SEEN = re.compile(f"[{INVISIBLE}]+")
SEEN = re.compile(rf"[^\s{INVISIBLE}]")
GAP = re.compile(r"\s+")
END = re.compile(r"(\s+)(</(?:p|li|div|h\d|td|th|code)>)?")
FORMULA = re.compile(r"<math\b.*?</math>", re.DOTALL)
PART = re.compile(r'<(/?)(\w+)((?: [\w-]+(?:="[^"]*")?)*)>|([^<]+)')
MARKED = re.compile(r' (?:class="(?:box|strike|b)"|display="block")')
ROWS = TOKENS | {"math", "mrow", "mstyle", "msqrt", "mtd"}  # what they hold, side by side
RUNS_ON = re.compile(r"</(strong|em|del|code)>(\s*)<\1>")
WITHOUT_SPACE = str.maketrans("", "", " \t\n")
BLANK = "nothing of it can be seen"
LOST = "rendering would hide a part of it"


class Rendered(NamedTuple):
    """What is shown of a text."""

    html: str  # empty where the text is shown as written
    why: str  # it is shown as written
    look: str  # texts that look the same have the same


def render(text: str) -> Rendered:
    """The text, read as Markdown where that hides nothing of it."""
    if not text:
        return Rendered("", "", "")
    plain = NEWLINE.sub("\n", text)
    if why := _unrendered(plain):
        return as_written(text, why)
    writer = Writer(plain)
    try:
        html = writer.html(read(plain))
    except TooMuchError:
        return as_written(text, TOO_MUCH)
    why = loss(plain, writer)
    return as_written(text, why) if why else Rendered(html, "", look(html, text))


def as_written(text: str, why: str) -> Rendered:
    """The text in its raw view alone, for this reason."""
    return Rendered("", why, look("", text))


def _unrendered(text: str) -> str:
    """Why a text is shown as written whatever its markup is."""
    if character := hidden(text):
        return f"it holds a character that is not seen ({character})"
    if not SEEN.search(text):
        return BLANK
    return beyond(text)


def loss(source: str, writer: Writer) -> str:
    """Why what was written is not all shown: words in order, every sign but the markers of what is shown."""
    shown = "".join(writer.shown)
    was, is_ = source.translate(WITHOUT_SPACE), shown.translate(WITHOUT_SPACE)
    if not SEEN.search(shown):
        return BLANK
    if was == is_:
        return ""
    if NOT_WORDS.sub("", was) != NOT_WORDS.sub("", is_):
        return LOST
    there, wanted = Counter(is_), Counter(was)
    return LOST if there - wanted or (wanted - there) - writer.markers else ""


def look(html: str, text: str) -> str:
    """A digest of how it looks; alike for two texts that a person cannot tell apart."""
    if html:
        html = RUNS_ON.sub(r"\2", FORMULA.sub(_shape, html))
        html = END.sub(lambda gap: gap[2] or gap[1], html)
        seen = unescape(TAG.sub(lambda tag: tag[0].split(" ")[0], html))
    else:
        seen = text
    seen = NOT_SEEN.sub("", normalize("NFKC", seen))
    # Where a line breaks is seen; how many spaces there are, and which, is not.
    alike = GAP.sub(lambda gap: "\n" if "\n" in gap[0] else " ", seen).strip()
    return sha256(alike.encode("utf-8", "replace")).hexdigest()


def _shape(formula: re.Match[str]) -> str:
    """A formula's text, and what stands on, under or in what; not how it was put together."""
    open_: list[tuple[str, list[str]]] = [("", [])]
    for closes, tag, attributes, text in PART.findall(formula[0]):
        if text:
            open_[-1][1].append(text)
        elif not closes:
            open_.append((f"<{tag}{''.join(MARKED.findall(attributes))}>", []))
        else:
            mark, held = open_.pop()
            open_[-1][1].append(_held(tag, mark, held))
    return "".join(open_[0][1])


def _held(tag: str, mark: str, held: list[str]) -> str:
    inner = ("" if tag in ROWS else "<>").join(held)
    if tag == "mspace":
        return " "
    plain = tag in ROWS and tag != "msqrt" and mark == f"<{tag}>"
    return inner if plain else f"{mark}{inner}</{tag}>"
