"""Cells of our own tables: what a spreadsheet would compute is written behind an apostrophe, and read back equal.

A column of its own names the cells that got one, so that no other apostrophe is taken for ours.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

MARKED = "marked"  # the column
# Beginnings of formulas; the last four are the wide letters of =, +, - and @.
COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
MARK = "'"
WHOLE = re.compile(r"\s*([+-]?[0-9]{1,9})(\.0*)?\s*")  # of a table in which others are missing: 4.0


def safe_cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The cells of a row's columns, and last which of them begin with a mark."""
    cells = [cell_of(row[name]) for name in names]
    marked = [cell.startswith(COMPUTED) for cell in cells]
    safe = [MARK + cell if risky else cell for cell, risky in zip(cells, marked, strict=True)]
    return [*safe, " ".join(name for name, risky in zip(names, marked, strict=True) if risky)]


def cell_of(value: object) -> str:
    """A value as text: nothing for none, JSON for what is neither text nor a number."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def whole_number(value: object) -> object:
    """A whole number, however a file writes it; any other value as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    found = WHOLE.fullmatch(value) if isinstance(value, str) else None
    return int(found.group(1)) if found else value


def unmarked(row: Mapping[str, str]) -> dict[str, str]:
    """The row as it was before its cells were made safe."""
    marked = row.get(MARKED, "").split(" ")
    return {name: cell.removeprefix(MARK) if name in marked else cell for name, cell in row.items()}
