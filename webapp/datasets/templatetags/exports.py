"""Stored exports, of today and of before, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import template

from webapp.datasets.exports import EXPORTS, name_in
from webapp.site.words import Words

register = template.Library()


@register.filter
def format_title(payload: Mapping[str, Any]) -> Words:
    """What a stored job's format is called; of one that is not here any more its name."""
    name = name_in(payload)
    return EXPORTS[name].title if name in EXPORTS else name


@register.filter
def rows_by_split(result: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    """How many rows of each split were written; exports once held pairs only."""
    counts: Mapping[str, int] = result.get("rows") or result.get("pairs") or {}
    return counts.items()
