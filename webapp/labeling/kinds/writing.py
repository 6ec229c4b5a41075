"""Texts that people write as answers, or from answers."""

from collections.abc import Sequence
from typing import Annotated, Protocol

from django.utils.text import Truncator
from django.utils.translation import gettext as _
from pydantic import AfterValidator

from alignment.seam.records import Text
from webapp.site.longtext import length
from webapp.site.words import Words

LONGEST = 50_000  # characters, as a browser counts them
SHOWN = 300  # of a text in a table


def with_plain_lines(text: str) -> str:
    """The text with one character for each line break."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _plain(text: str) -> str:
    """With line breaks as a browser shows them, and something to be seen."""
    text = with_plain_lines(text)
    if not text.strip():
        raise ValueError("nothing is written")
    return text


Written = Annotated[Text, AfterValidator(_plain)]


class _HasText(Protocol):
    @property
    def text(self) -> str | None: ...


def objection_to_length(answer: _HasText, _items: Sequence[str] = ()) -> Words:
    """By how much what is written is too long; "" where it is not."""
    if (over := length(answer.text or "") - LONGEST) <= 0:
        return ""
    words = _("The text is %(over)s characters too long. Shorten it: nothing was stored.")
    return words % {"over": over}


def start_of_text(text: str) -> str:
    """The text as a table shows it."""
    return Truncator(text).chars(SHOWN)
