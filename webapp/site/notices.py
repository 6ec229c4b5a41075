"""What a page says of what was just done, in a cookie of this installation, and which cookies pages read."""

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.http import HttpRequest


class _Cookie(CookieStorage):
    cookie_name = f"messages_{settings.INSTALLATION}"


class Notices(FallbackStorage):
    """In the cookie, or in the session where they are too long for it."""

    storage_classes = (_Cookie, SessionStorage)


def cookies(request: HttpRequest) -> dict[str, str]:
    """The names by which scripts find what is this installation's: its cookie, and what it keeps in a browser."""
    return {"installation": settings.INSTALLATION, "csrf_cookie": settings.CSRF_COOKIE_NAME}
