"""What the columns of a file that was looked at are."""

from collections.abc import Mapping
from typing import Any

from django import template

from webapp.datasets.forms import ColumnsForm

register = template.Library()


@register.filter
def columns_form(found: Mapping[str, Any]) -> ColumnsForm:
    """The form that asks what each column is, as far as the file was read."""
    return ColumnsForm(found=dict(found))
