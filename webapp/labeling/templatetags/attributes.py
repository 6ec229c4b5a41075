"""Attributes that are there or not, without a condition inside an element."""

import json
from collections.abc import Collection

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

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
def as_json(value: object) -> str:
    """For a script; nothing is an empty object."""
    return json.dumps(value or {})


@register.simple_tag
def here_is(here: str, name: str) -> str:
    """That a link leads to the page that is shown."""
    return mark_safe(' aria-current="page"') if here == name else ""
