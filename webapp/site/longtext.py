"""Long texts of people, counted as their browser counts them, so that no limit surprises anybody.

A browser sends a line break as two characters and counts it as one; of a character outside the basic
plane (an emoji) it counts two where Python counts one.
"""

from collections.abc import Sized
from typing import TypedDict, Unpack

from django import forms
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from webapp.site.words import Words


def length(text: str) -> int:
    """How long a browser says the text is: UTF-16 units, a line break being one."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class LengthValidator(MaxLengthValidator):
    """Refuses what is too long by how much, so that it can be shortened."""

    message = _(
        "This text has %(show_value)d characters, and at most %(limit_value)d are kept. "
        "Shorten it: nothing was stored."
    )

    def clean(self, x: Sized) -> int:
        """The number that is compared."""
        return length(str(x))


class Options(TypedDict, total=False):
    """What else a field of a long text may be told, as Django's fields are."""

    required: bool
    strip: bool
    label: Words
    help_text: Words
    widget: forms.Widget


class LongText(forms.CharField):
    """A text of several lines as its person typed it, with plain line breaks."""

    widget = forms.Textarea

    def __init__(self, *, limit: int, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.limit = limit
        self.validators.append(LengthValidator(limit))
        self.widget.attrs.setdefault("maxlength", limit)  # where no script counts

    def to_python(self, value: object) -> str:
        """The text with line breaks as the browser shows them; nothing where there is nothing to see."""
        text = (super().to_python(value) or "").replace("\r\n", "\n").replace("\r", "\n")
        return text if text.strip() else ""
