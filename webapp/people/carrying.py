"""A link's token leaves the address at once: it goes on in a cookie of the one page that needs it.

So it is in no log of a proxy, no referrer and no bookmark. The page's own address names the link by a part of its
token's hash, which opens nothing, so that two links may be open beside each other.
"""

import hashlib
import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

COOKIE = "link-"  # and the name of the link
TOKEN = re.compile(r"[\w-]{1,100}", re.ASCII)
NAMED = 16  # signs of a hash


def carry(request: HttpRequest, token: str, *, to: str) -> HttpResponse:
    """Go on to a page that acts by this token; what was sent goes on with it."""
    name = name_of(token)
    path = reverse(to, args=[name])
    response = redirect(path, preserve_request=request.method == "POST")
    response.set_cookie(
        COOKIE + name,
        token,
        path=path,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


def carried(request: HttpRequest, name: str) -> str:
    """The token of the link that a page's address names; empty where this browser has none."""
    token = request.COOKIES.get(COOKIE + name, "")
    return token if name_of(token) == name else ""


def laid_down(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """A page's response, after which this browser has the token no more."""
    name = request.path.rstrip("/").rpartition("/")[2]
    response.delete_cookie(COOKIE + name, path=request.path, samesite="Lax")
    return response


def name_of(token: str) -> str:
    """What a page's address calls the link of a token."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()[:NAMED]
