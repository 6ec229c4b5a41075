"""What a format of rows says of itself; pages, commands and readers ask it and know no format by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from alignment.rows.found import Found


class Format(NamedTuple):
    """A kind of row as people know it, how it is recognised, what reads it, and what of it is lost."""

    title: str
    help: str
    loses: str
    fits: Callable[[object], bool]
    read: Callable[[Any, Found], set[str]]  # adds to what was found; the columns it used
    flat: bool = False  # whether each column is one thing, so that somebody may say which
