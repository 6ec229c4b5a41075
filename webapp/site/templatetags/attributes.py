"""Attributes that are there or not, without a condition inside an element."""

import json
from collections.abc import Collection, Iterable, Mapping

from django import template
from django.forms import BoundField
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from webapp.site.stamps import SEEN

register = template.Library()


@register.simple_tag
def attributes(**held: object) -> SafeString:
    """The names of those that hold, as `hidden`; `_` stands for `-`."""
    return format_html_join("", " {}", [(name.replace("_", "-"),) for name in held if held[name]])


@register.simple_tag
def attribute(name: str, value: object) -> SafeString | str:
    """The attribute with its value, if it has one."""
    return format_html(' {}="{}"', name, value) if value else ""


@register.filter
def unless(value: str, condition: object) -> str:
    """The value, or nothing where the condition holds."""
    return "" if condition else value


@register.filter
def holds(values: Collection[object] | None, value: object) -> bool:
    """Whether the value is one of these."""
    return value in (values or ())


@register.filter
def pairs(mapping: Mapping[str, object]) -> list[tuple[str, object]]:
    """Keys with their values: a template that says `.items` gets what lies under the key "items", if there is one."""
    return list(mapping.items())


@register.filter
def as_json(value: object) -> str:
    """For a script; nothing is an empty object."""
    return json.dumps(value or {})


@register.simple_tag
def here_is(here: object, one: object, what: str = "page") -> str:
    """That a link leads to what is shown: to this page, unless `what` says otherwise."""
    return format_html(' aria-current="{}"', what) if here == one else ""


@register.simple_tag
def options(choices: Iterable[tuple[object, object]], chosen: object) -> SafeString:
    """The choices of a list, of which one is made."""
    drawn = ((value, attributes(selected=value == chosen), word) for value, word in choices)
    return format_html_join("", '<option value="{}"{}>{}</option>', drawn)


@register.simple_tag
def refresh(where: str, trigger: str, *, until: object = False, seen: str = "") -> SafeString | str:
    """That an element asks for itself anew, until something holds; `seen` is the stamp of what it shows."""
    if until:
        return ""
    said = attribute("hx-headers", json.dumps({SEEN: seen}) if seen else "")
    return format_html(' hx-get="{}" hx-trigger="{}" hx-swap="outerHTML"{}', where, trigger, said)


@register.filter
def asked_when(field: BoundField) -> str:
    """For which choices a field is there, for a script; nothing where it always is."""
    when: str = getattr(field.field, "when", "")
    return "" if when == "{}" else when


@register.filter
def help_id(field: BoundField) -> str:
    """The name of the line that explains a field, where there is one."""
    return f"{field.auto_id}_helptext" if field.help_text else ""


@register.filter
def same(value: object, other: object) -> bool:
    """Whether two values are equal, for the attribute that says so."""
    return value == other
