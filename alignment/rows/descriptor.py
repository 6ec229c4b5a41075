"""What a format of rows says of itself; pages, commands and readers ask it and know no format by name."""

from collections.abc import Callable, Set
from typing import Any, NamedTuple

from alignment.rows.found import Found

Names = Set[object]  # of a row's columns


def any_columns(_names: Names) -> bool:
    """Of a format that rows of any columns may be in."""
    return True


def with_columns(*kinds: Names) -> Callable[[Names], bool]:
    """Of a format whose rows have all columns of one of these kinds."""
    return lambda names: any(kind <= names for kind in kinds)


class Format(NamedTuple):
    """A kind of row as people know it, how it is recognised, what reads it, and what of it is lost."""

    title: str
    help: str
    loses: str
    fits: Callable[[object], bool]
    read: Callable[[Any, Found], Set[str]]  # adds to what was found; the columns it used
    may: Callable[[Names], bool] = (
        any_columns  # whether rows of these columns may fit: no others are looked at
    )
    flat: bool = False  # whether each column is one thing, so that somebody may say which
