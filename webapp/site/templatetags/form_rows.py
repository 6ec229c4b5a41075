"""Fields as rows of a form: what nobody has touched looks alike on every page that has it, and is drawn once."""

from collections.abc import Hashable
from typing import cast

from django import forms, template
from django.template import Context
from django.template.backends.django import Template
from django.template.loader import get_template
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from webapp.site.choices import FoundChoice
from webapp.site.fields import DrawnField

TEMPLATE = "components/field.html"
MOST = 2000  # rows that a process keeps
LONGEST = 200  # characters of a value whose row is kept

register = template.Library()
_drawn: dict[Hashable, SafeString] = {}


@register.simple_tag(takes_context=True)
def field_row(context: Context, field: forms.BoundField) -> SafeString:
    """A field with all that stands beside it."""
    key = _all_that_is_shown(field)
    if key is None or (drawn := _drawn.get(key)) is None:
        drawn = _draw(context, field)
        if key is not None:
            _keep(key, drawn)
    return drawn


def _keep(key: Hashable, drawn: SafeString) -> None:
    if len(_drawn) >= MOST:
        _drawn.clear()
    _drawn[key] = drawn


def _draw(context: Context, field: forms.BoundField) -> SafeString:
    with context.push(field=field):
        return cast(Template, get_template(TEMPLATE)).template.render(context)


def _all_that_is_shown(bound: forms.BoundField) -> Hashable | None:
    """All that the row of a drawn field depends on; none where that is more: rows of tables, or what was sent."""
    field, value = bound.field, repr(bound.value())
    if not isinstance(field, DrawnField) or isinstance(field, FoundChoice):
        return None
    if bound.form.is_bound or len(value) > LONGEST:
        return None
    place = (get_language(), bound.auto_id, bound.html_name, value)
    words = (field.label, field.help_text, field.unit, field.when)
    asked = (field.required, field.disabled, tuple(getattr(field.widget, "choices", ())))
    return place, words, asked, type(field.widget), tuple(field.widget.attrs.items())
