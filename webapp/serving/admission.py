"""Who may send how much: asked once the head of a large request is there, before any more of it is read."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, parse_cookie
from django.urls import resolve
from django.utils.module_loading import import_string

from webapp.machine.bodies import body_limit
from webapp.serving.arrival import UNASKED


def admitted(path: str, cookies: str, authorization: str = "") -> int | None:
    """The bytes that may come with a request to this path: few of somebody who is not signed in and has no token.

    None while the database cannot say who that is.
    """
    try:
        view = resolve(path).func
        known = _is_known(cookies) or _is_program(authorization)
        return body_limit(view) if known else UNASKED
    except Http404:
        return UNASKED
    except DatabaseError:
        return None


def _is_known(cookies: str) -> bool:
    request = HttpRequest()
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME))
    return get_user(request).is_authenticated


def _is_program(authorization: str) -> bool:
    scheme, _space, secret = authorization.partition(" ")
    return scheme.lower() == "bearer" and bool(import_string(settings.TOKEN_FINDER)(secret.strip()))
