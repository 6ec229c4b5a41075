"""Figures with their intervals, as tables show them."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.translation import gettext

register = template.Library()
Stored = Mapping[str, Any]
EVEN = 0.5


@register.filter
def with_interval(figure: Stored | None) -> str:
    """A value and the ends of its interval; a dash where there is none."""
    if not figure or figure.get("value") is None:
        return "—"
    if figure.get("low") is None:
        return f"{figure['value']:z.2f}"
    return gettext("{value:z.2f} ({low:z.2f} to {high:z.2f})").format(**figure)


@register.filter
def share_with_interval(figure: Stored | None) -> str:
    """The same of a share, in percent."""
    if not figure or figure.get("value") is None:
        return "—"
    if figure.get("low") is None:
        return f"{100 * figure['value']:.0f} %"
    percent = {name: 100 * figure[name] for name in ("value", "low", "high")}
    return gettext("{value:.0f} % ({low:.0f} to {high:.0f})").format(**percent)


@register.filter
def leans(figure: Stored | None) -> str:
    """Whether a share is surely more or less than half of all: `more`, `less`, or nothing."""
    if not figure or figure.get("low") is None:
        return ""
    if figure["low"] > EVEN:
        return "more"
    return "less" if figure["high"] < EVEN else ""


@register.filter
def seconds(milliseconds: float | None) -> str:
    """A time in seconds, with a digit behind the point where it is short."""
    if milliseconds is None:
        return "—"
    value = milliseconds / 1000
    return (
        gettext("{s:.1f} s").format(s=value) if value < 10 else gettext("{s:.0f} s").format(s=value)
    )
