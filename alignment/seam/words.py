"""Words that people read, marked where they stand so that they can be collected and translated.

A word that is kept (a title, a help) is translated by whoever shows it; a sentence that is made while
somebody waits is translated here, by what `translate_by` was given.
"""

from collections.abc import Callable


def _(text: str) -> str:
    """The text itself, which collectors of messages find by this name."""
    return text


_translators: list[Callable[[str], str]] = []


def translate_by(translator: Callable[[str], str]) -> None:
    """From now on make sentences in the language that this gives a text in."""
    _translators[:] = [translator]


def said(text: str, **values: object) -> str:
    """A marked sentence in the reader's language, with values in its places; numbers of steps as 1,000."""
    for translate in _translators:
        text = translate(text)
    return text.format(**values)
