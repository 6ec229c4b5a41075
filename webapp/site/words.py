"""The type of words that people read, some of which are translated only when they are shown."""

from typing import TYPE_CHECKING, TypeAlias

from django.utils.functional import Promise

if TYPE_CHECKING:  # what gettext_lazy gives is a promise of a str, which only the stubs tell apart
    from django.utils.functional import _StrOrPromise

    Words: TypeAlias = _StrOrPromise
else:
    Words = str | Promise
