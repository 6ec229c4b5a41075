"""One text to what a page shows of it: HTML, or the reason why it is shown as written."""

import re
from collections import Counter
from hashlib import sha256
from html import unescape
from typing import NamedTuple
from unicodedata import normalize

from webapp.rendering.bounds import TOO_MUCH, beyond
from webapp.rendering.document import Writer, too_many
from webapp.rendering.parser import read
from webapp.rendering.written import hidden

VERSION = 1  # of what is made of a text: one more whenever that changes
NEWLINE = re.compile(r"\r\n?")
NOT_WORDS = re.compile(r"[\W_]+")
SPACES = re.compile(r"[ \t\n]+")
TAG = re.compile(r"<[^>]*>")
ALIKE = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]+"
)
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
    html = writer.html(read(plain))
    why = TOO_MUCH if too_many(html) else loss(plain, writer)
    return as_written(text, why) if why else Rendered(html, "", look(html, text))


def as_written(text: str, why: str) -> Rendered:
    """The text in its raw view alone, for this reason."""
    return Rendered("", why, look("", text))


def _unrendered(text: str) -> str:
    """Why a text is shown as written whatever its markup is."""
    if character := hidden(text):
        return f"it holds a character that is not seen ({character})"
    if not ALIKE.sub("", text):
        return BLANK
    return beyond(text)


def loss(source: str, writer: Writer) -> str:
    """Why what was written is not all shown: words in order, every sign but the markers of what is shown."""
    shown = "".join(writer.shown)
    if not ALIKE.sub("", shown):
        return BLANK
    if NOT_WORDS.sub("", source) != NOT_WORDS.sub("", shown):
        return LOST
    was, is_ = Counter(SPACES.sub("", source)), Counter(SPACES.sub("", shown))
    return LOST if is_ - was or (was - is_) - writer.markers else ""


def look(html: str, text: str) -> str:
    """A digest of how it looks; alike for two texts that a person cannot tell apart."""
    seen = unescape(TAG.sub(lambda tag: tag[0].split(" ")[0], html)) if html else text
    # Where a line breaks is seen, how many spaces there are is not.
    return sha256(ALIKE.sub("", normalize("NFKC", seen)).encode("utf-8", "replace")).hexdigest()
