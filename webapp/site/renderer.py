"""Form fields as Django draws them, inputs and lists of choices without a template for each of them and each choice."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.forms.renderers import DjangoTemplates
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

SELECT = forms.Select.template_name
INPUTS = frozenset(
    kind.template_name
    for kind in (
        *(forms.CheckboxInput, forms.EmailInput, forms.HiddenInput, forms.NumberInput),
        *(forms.PasswordInput, forms.TextInput, forms.URLInput),
    )
)


class Renderer(DjangoTemplates):
    """Django's own: by its templates, 600 time zones take as long as seven whole pages."""

    def render(
        self, template_name: str, context: dict[str, Any], request: HttpRequest | None = None
    ) -> str:
        """The markup of a field, of its label or of a form."""
        if template_name in INPUTS:
            return draw_input(context["widget"])
        if template_name == SELECT:
            return draw_select(context["widget"])
        return super().render(template_name, context, request)


def draw_input(widget: Mapping[str, Any]) -> SafeString:
    """An input of any type, from what `Input.get_context` says of it."""
    value = "" if widget["value"] is None else format_html(' value="{}"', widget["value"])
    named = (widget["type"], widget["name"], value, flatatt(widget["attrs"]))
    return format_html('<input type="{}" name="{}"{}{}>', *named)


def draw_select(widget: Mapping[str, Any]) -> SafeString:
    """A list of choices, from what `Select.get_context` says of it."""
    groups = "".join(_group(name, options) for name, options, _ in widget["optgroups"])
    named = (widget["name"], flatatt(widget["attrs"]), mark_safe(groups))  # noqa: S308 - escaped
    return format_html('<select name="{}"{}>{}</select>', *named)


def _group(name: str | None, options: Iterable[Mapping[str, Any]]) -> str:
    """Choices that are listed together, under their name if they have one."""
    drawn = "".join(map(_option, options))
    return f'<optgroup label="{conditional_escape(name)}">{drawn}</optgroup>' if name else drawn


def _option(told: Mapping[str, Any]) -> str:
    """A choice; of most there is no more to say than its value and words."""
    value, words = conditional_escape(told["value"]), conditional_escape(told["label"])
    more = flatatt(told["attrs"]) if told["attrs"] else ""
    return f'<option value="{value}"{more}>{words}</option>'
