"""Widgets of drawn forms, which have many fields: the markup of Django's own, written without a template each."""

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.forms.utils import flatatt
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

SELECTED = " selected"
Pairs = Iterable[tuple[object, str]]


class _Input(forms.Widget):
    """An input of any type, as django/forms/widgets/input.html writes it."""

    def render(
        self,
        name: str,
        value: Any,  # noqa: ANN401 - as Django's
        attrs: dict[str, Any] | None = None,
        renderer: object = None,
    ) -> SafeString:
        """The markup of the field with this value."""
        widget = self.get_context(name, value, attrs)["widget"]
        said = "" if widget["value"] is None else format_html(' value="{}"', widget["value"])
        more = flatatt(widget["attrs"])
        return format_html(
            '<input type="{}" name="{}"{}{}>', widget["type"], widget["name"], said, more
        )


class NumberInput(_Input, forms.NumberInput):
    """A number."""


class TextInput(_Input, forms.TextInput):
    """A short text."""


class CheckboxInput(_Input, forms.CheckboxInput):
    """A box to tick."""


class Select(forms.Select):
    """A choice, as django/forms/widgets/select.html writes it where there are no groups."""

    def render(
        self,
        name: str,
        value: Any,  # noqa: ANN401 - as Django's
        attrs: dict[str, Any] | None = None,
        renderer: object = None,
    ) -> SafeString:
        """The markup of the field with this value chosen."""
        given = self.build_attrs(self.attrs, attrs)
        options = self._options(self.format_value(value))
        return format_html('<select name="{}"{}>{}</select>', name, flatatt(given), options)

    def _options(self, chosen: list[str]) -> SafeString:
        """All choices, the first of the chosen marked."""
        marked, written = False, []
        for value, label in cast("Pairs", self.choices):
            said = "" if value is None else str(value)
            mark = not marked and said in chosen
            marked |= mark
            written.append(
                f'<option value="{conditional_escape(said)}"{SELECTED if mark else ""}>{conditional_escape(label)}</option>'
            )
        return mark_safe("".join(written))  # noqa: S308 - each part is escaped
