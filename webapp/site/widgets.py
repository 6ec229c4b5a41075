"""Widgets of drawn forms, which have many fields: the markup of Django's own, written without a template each."""

from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


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
        widget = self.get_context(name, value, attrs)["widget"]
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            (
                (option["value"], flatatt(option["attrs"]), option["label"])
                for _, group, _ in widget["optgroups"]
                for option in group
            ),
        )
        return format_html(
            '<select name="{}"{}>{}</select>', widget["name"], flatatt(widget["attrs"]), options
        )
