"""Regular expressions that somebody wrote: compiled and searched in a process of its own, within limits.

Torch-free. Some take longer than anybody waits: `(a+)+$` doubles its time with every letter.
"""

from collections.abc import Sequence
from functools import lru_cache

from alignment.foreign.isolation import APART, OverrunError, RaisedError
from alignment.seam.errors import DataError
from alignment.seam.words import _

HINT = _("Leave out a repeat within a repeat, such as (a+)+, and repeats of thousands.")
TOGETHER = 1000  # texts of one request
RUN = 300  # letters of a text that is tried
AT_ONCE = 1  # second of computing that all of these may take
KINDS = ("a", "A", "7", " ", "\n", "-", ".", "ab", "a1", "a ", "a, ", "aA", "é", "漢")
TRIED = ["", *(end for kind in KINDS for end in (kind * RUN, kind * RUN + "\x00!"))]


def found_in(pattern: str, texts: Sequence[str]) -> list[bool]:
    """Whether the pattern is found anywhere in each text; raises DataError where it takes too much."""
    found: list[bool] = []
    for start in range(0, len(texts), TOGETHER):
        try:
            found += APART.ask("search", texts[start : start + TOGETHER], pattern=pattern)
        except OverrunError as error:
            raise DataError(
                _("The regular expression “{pattern}” {error}. {hint}").format(
                    pattern=pattern, error=error, hint=HINT
                )
            ) from None
        except RaisedError as error:
            raise DataError(
                _("“{pattern}” is no regular expression: {error}").format(
                    pattern=pattern, error=error
                )
            ) from None
    return found


@lru_cache(maxsize=256)
def fault_of(pattern: str) -> str:
    """Why the pattern cannot be used, to follow it; empty where it can."""
    mine = sorted(set(pattern))  # what it is about is what it may be slow on
    texts = TRIED + [letter * RUN + "\x00!" for letter in mine if letter.isprintable()]
    try:
        APART.ask("search", texts, seconds=AT_ONCE, pattern=pattern)
    except OverrunError as error:
        return f"{error} on texts of {RUN} letters. {HINT}"
    except RaisedError as error:
        return f"is no regular expression: {error}"
    return ""
