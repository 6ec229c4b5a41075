"""A full disk is a state, not a bug: whatever fails of it is answered with 507 and in words.

A view's error comes to the middleware; one from anywhere else, such as a session that cannot be
saved or an upload that does not fit, to the handler of status 500 (webapp/urls.py).
"""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from django.views.defaults import server_error

from webapp.machine import disk
from webapp.machine.bodies import was_lost

INSUFFICIENT_STORAGE = 507
RETRY_AFTER = 30  # seconds
KIND = "disk_full"
NOT_STORED = _("What you have just sent was not stored; send it again then.")
CHUNK = 1 << 20

logger = logging.getLogger(__name__)


class FullDisk:
    """Answers a view that failed because the disk is full."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let it pass, unless there was no room for what was sent."""
        if was_lost(request):
            return answer(request)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The answer, or None for an error of another kind."""
        if not disk.is_full(error):
            return None
        logger.warning("%s %s: %s", request.method, request.path, error)
        return answer(request)


def broken(request: HttpRequest) -> HttpResponse:
    """What is answered to an error that no view let through: 507 for a full disk, else 500."""
    error = sys.exc_info()[1]
    return answer(request) if error and disk.is_full(error) else server_error(request)


def answer(request: HttpRequest) -> HttpResponse:
    """Say that the disk is full, to a program or to a person, with nothing asked of the database."""
    _read_out(request)
    words = str(disk.SAID) if request.method in ("GET", "HEAD") else f"{disk.SAID} {NOT_STORED}"
    response: HttpResponse
    if _is_program(request):
        response = JsonResponse({"error": words, "kind": KIND}, status=INSUFFICIENT_STORAGE)
    else:
        page = render_to_string("507.html", {"words": words})
        response = HttpResponse(page, status=INSUFFICIENT_STORAGE)
    response["Retry-After"] = str(RETRY_AFTER)
    response["Cache-Control"] = "no-store"
    return response


def _is_program(request: HttpRequest) -> bool:
    """Whether a script or a program asks, which shows the words itself."""
    accepted = request.get_preferred_type(["text/html", "application/json"])
    return "HX-Request" in request.headers or accepted == "application/json"


def _read_out(request: HttpRequest) -> None:
    """Drop what has come of an upload, and take the rest: who is cut off while sending reads nothing."""
    with suppress(Exception):  # it hung up, or all was read before
        for handler in request.upload_handlers:
            handler.upload_interrupted()
        while request.read(CHUNK):
            continue
