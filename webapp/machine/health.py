"""Whether the web program answers and reads its database, for whoever keeps it on this machine."""

import ipaddress
from collections.abc import Callable

from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse

HEALTH = "/healthz"
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


class Health:
    """Answers /healthz to this machine before hosts, HTTPS or people are looked at."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The health, where it is asked for from here; else the page."""
        if request.path_info == HEALTH and is_local(request):
            return health()
        return self.get_response(request)


def health() -> HttpResponse:
    """200 when the database can be read, else 503 and why not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM django_migrations")
    except DatabaseError as error:
        connection.close()
        return HttpResponse(f"database: {error}", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")


def is_local(request: HttpRequest) -> bool:
    """Whether a program of this machine asks, and not somebody behind a proxy on it."""
    if any(name in request.META for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
