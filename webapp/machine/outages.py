"""What the machine lacks for a while is a state, not a bug: it is answered in words, with when to ask again.

A view's error comes to the middleware; one from anywhere else, such as a session that cannot be
saved or an upload that does not fit, to the handler of status 500 (webapp/urls.py).
"""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from django.views.defaults import server_error

from webapp.machine import database, disk
from webapp.machine.bodies import was_lost, was_unasked

CHUNK = 1 << 20
PROGRAMS = ("/api/v1/", "/mcp")  # what is asked for there, programs ask for

logger = logging.getLogger(__name__)


class Outage(NamedTuple):
    """A state of the machine: how it is told from a bug, and what is answered while it lasts."""

    is_cause: Callable[[BaseException], bool]
    kind: str  # for programs
    status: int
    retry_after: int  # seconds
    words: object  # a str, once it is known in which language
    not_stored: object  # said beside to whoever has sent something


FULL_DISK = Outage(
    disk.is_full,
    "disk_full",
    507,
    30,
    disk.SAID,
    _("What you have just sent was not stored; send it again then."),
)
AWAY = Outage(
    database.is_away,
    "database_away",
    503,
    3,
    _("The database cannot be reached just now; it is being restarted, perhaps."),
    _("What you have just sent was not stored; send it again in a moment."),
)
BUSY = AWAY._replace(
    is_cause=database.is_busy,
    kind="database_busy",
    words=_(
        "Another program is writing to the database, and has not let anybody else for a while."
    ),
)
OUTAGES = (FULL_DISK, BUSY, AWAY)


class Outages:
    """Answers a view that failed because of one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let it pass, unless there was no room for what was sent, or nobody knew whether it may be."""
        if was_lost(request):
            return answer(request, FULL_DISK)
        if was_unasked(request):
            return answer(request, AWAY)
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The answer, or None for an error of another kind."""
        outage = outage_of(error)
        if outage is None:
            return None
        logger.warning("%s %s: %s", request.method, request.path, error)
        return answer(request, outage)


def outage_of(error: BaseException | None) -> Outage | None:
    """What the error came of; None for a bug."""
    return next((each for each in OUTAGES if error and each.is_cause(error)), None)


def broken(request: HttpRequest) -> HttpResponse:
    """What is answered to an error that no view let through: the outage it came of, else 500."""
    outage = outage_of(sys.exc_info()[1])
    return answer(request, outage) if outage else server_error(request)


def answer(request: HttpRequest, outage: Outage) -> HttpResponse:
    """Say what is the matter, to a program or to a person, with nothing asked of the database."""
    _read_out(request)
    if outage is BUSY:
        database.note_held()
    if outage is AWAY:
        with suppress(DatabaseError):
            database.forget_lost()
    looks = request.method in ("GET", "HEAD")
    words = str(outage.words) if looks else f"{outage.words} {outage.not_stored}"
    response: HttpResponse
    if _is_program(request):
        said = {"error": words, "kind": outage.kind, "fields": {}}
        response = JsonResponse(said, status=outage.status)
    else:
        again = outage.retry_after if looks else None
        page = render_to_string(f"{outage.status}.html", {"words": words, "again": again})
        response = HttpResponse(page, status=outage.status)
    response["Retry-After"] = str(outage.retry_after)
    response["Cache-Control"] = "no-store"
    return response


def _is_program(request: HttpRequest) -> bool:
    """Whether a script or a program asks, which shows the words itself."""
    accepted = request.get_preferred_type(["text/html", "application/json"])
    by_name = "HX-Request" in request.headers or request.path.startswith(PROGRAMS)
    return by_name or accepted == "application/json"


def _read_out(request: HttpRequest) -> None:
    """Drop what has come of an upload, and take the rest: who is cut off while sending reads nothing."""
    with suppress(Exception):  # it hung up, or all was read before
        for handler in request.upload_handlers:
            handler.upload_interrupted()
        while request.read(CHUNK):
            continue
