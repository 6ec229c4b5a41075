"""Texts of models and people on a page; a view gives `renderings` of all that its page shows."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from django import template
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from webapp.rendering.names import visible
from webapp.rendering.render import Rendered
from webapp.rendering.services import rendered
from webapp.rendering.written import written

register = template.Library()
register.filter(visible)
EMPTY = mark_safe('<p class="nothing">(empty)</p>')


class HasText(Protocol):
    """Something with a text to show."""

    text: str


@register.simple_tag(takes_context=True)
def shown(context: Context, text: str) -> SafeString:
    """The text in the view that this person prefers."""
    found = _of(context, text)
    user = getattr(context.get("request"), "user", None)
    if found.html and not getattr(user, "raw_view", False):
        return format_html('<div class="rendered">{}</div>', mark_safe(found.html))  # noqa: S308 - cleaned
    return _as_written(found, text)


@register.simple_tag(takes_context=True)
def shown_both(context: Context, text: str) -> SafeString:
    """The text in both views, one of which the page hides; in one where only that tells all of it."""
    found = _of(context, text)
    if not found.html:
        return _as_written(found, text)
    return format_html(
        '<div class="rendered">{}</div><div class="written">{}</div>',
        mark_safe(found.html),  # noqa: S308 - cleaned
        mark_safe(written(text)),  # noqa: S308 - escaped
    )


@register.simple_tag
def shown_plain(text: str) -> SafeString:
    """A text of a program, as it was written: nothing of it is markup."""
    if not text:
        return EMPTY
    return format_html('<div class="written only">{}</div>', mark_safe(written(text)))  # noqa: S308 - escaped


@register.filter
def indented_json(text: str) -> str:
    """A JSON text, a part of it on each line."""
    return json.dumps(json.loads(text), ensure_ascii=False, indent=2)


@register.filter
def tools_described(text: str) -> list[tuple[str, str]]:
    """The tools of a conversation: the name of each, and its description on lines."""
    functions = [tool["function"] for tool in json.loads(text or "[]")]
    return [(one["name"], json.dumps(one, ensure_ascii=False, indent=2)) for one in functions]


@register.simple_tag(takes_context=True)
def look_alike(context: Context, completions: Sequence[HasText]) -> bool:
    """Whether two of these texts differ and nobody could tell."""
    texts = {one.text for one in completions if one.text}
    return len({_of(context, text).look for text in texts}) < len(texts)


def _of(context: Context, text: str) -> Rendered:
    """From what the view gave; a text by itself is looked up alone."""
    known: Mapping[str, Rendered] = context.get("renderings") or {}
    return known.get(text) or rendered([text])[text]


def _as_written(found: Rendered, text: str) -> SafeString:
    if not text:
        return EMPTY
    why = format_html('<p class="why">Shown as written: {}.</p>', found.why) if found.why else ""
    return format_html('{}<div class="written only">{}</div>', why, mark_safe(written(text)))  # noqa: S308 - escaped
