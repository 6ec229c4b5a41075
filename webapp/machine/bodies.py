"""How much a request may send, and what the web program says of what it did not keep."""

from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.http import HttpRequest

CUT = "attune.body_cut"  # in a request's META: more was sent than anybody may
LOST = "attune.body_lost"  # there was no room for it
UNKNOWN = "attune.body_unasked"  # nobody could say whether so much may be sent
FORM = 1 << 20  # bytes, for what a form sends beside a file

View = TypeVar("View", bound=Callable[..., object])


def takes(limit: Callable[[], float]) -> Callable[[View], View]:
    """A view whose requests may be as large as this, in bytes."""

    def mark(view: View) -> View:
        view.limit = limit  # type: ignore[attr-defined]  # ours, read by body_limit
        return view

    return mark


def body_limit(view: Callable[..., object]) -> int:
    """The bytes that somebody who is signed in may send to a view: a file to import, unless it takes more."""
    return int(getattr(view, "limit", lambda: settings.IMPORT_LIMIT)()) + FORM


def was_cut(request: HttpRequest) -> bool:
    """Whether the end of what was sent is missing."""
    return CUT in request.META


def was_unasked(request: HttpRequest) -> bool:
    """Whether the end of what was sent is missing because the database could not say who sends it."""
    return UNKNOWN in request.META


def was_lost(request: HttpRequest) -> bool:
    """Whether the disk had no room for what was sent."""
    return LOST in request.META
