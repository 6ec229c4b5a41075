"""How numbers, times and differences are shown."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from webapp.site import diffs
from webapp.site.pages import COUNTED, in_figures

register = template.Library()


@register.filter
def translated(words: object) -> str:
    """Words that are kept in English, as a title or the name of a state, in the reader's language."""
    return gettext(str(words)) if words else ""


@register.filter
def ago(moment: datetime | None) -> str:
    """A relative time, the exact one on hover."""
    if moment is None:
        return gettext("never")
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, naturaltime(moment)
    )


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None:
        return gettext("unknown")
    whole = round(seconds)
    if whole < 60:
        return gettext("{s} s").format(s=whole)
    if whole < 3600:
        return gettext("{min} min {s} s").format(min=whole // 60, s=whole % 60)
    return gettext("{h} h {min} min").format(h=whole // 3600, min=whole % 3600 // 60)


@register.filter
def whole(value: float) -> str:
    """A number without what it has behind the point."""
    return f"{int(value):,}"


@register.filter
def rows_of_numbers(rows: Iterable[tuple[int, Iterable[float | None]]], digits: int) -> SafeString:
    """The rows of a table, each a step and its numbers; drawn at once, since a page has hundreds."""
    cells = ((step, *(number(value, digits) for value in values)) for step, values in rows)
    drawn = (format_html_join("", '<td class="num">{}</td>', zip(row)) for row in cells)
    return format_html_join("", "<tr>{}</tr>", zip(drawn))


@register.filter
def number(value: float | None, digits: int = 3) -> str:
    """A number with few significant digits; a dash where there is none."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


@register.filter
def estimate(stored: Mapping[str, float] | None) -> str:
    """A stored Estimate as value ± half its interval, to a digit in which that shows."""
    if not stored or stored.get("value") is None:
        return "—"
    if stored.get("low") is None:
        return gettext("cannot be estimated")
    half = (stored["high"] - stored["low"]) / 2
    digits = 2 if half == 0 else min(6, max(2, -math.floor(math.log10(half))))
    return f"{stored['value']:.{digits}f} ± {half:.{digits}f}"


@register.filter
def percent_estimate(stored: Mapping[str, float] | None) -> str:
    """A stored Estimate of a share, in percent."""
    if not stored or stored.get("low") is None:
        return "—"
    half = (stored["high"] - stored["low"]) / 2
    return f"{100 * stored['value']:.0f} % ± {100 * half:.0f}"


@register.filter
def filesize(size: int) -> str:
    """Bytes in the unit that reads best."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


@register.simple_tag
def word_diff(before: str, after: str) -> SafeString:
    """What changed between two answers, word by word."""
    return diffs.word_diff(before, after)


@register.filter
def figures(value: int, most: int = COUNTED) -> str:
    """A number of rows that were counted up to a limit."""
    return in_figures(value, most)
