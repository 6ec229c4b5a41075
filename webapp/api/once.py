"""Requests that came before: an Idempotency-Key lets one be sent again and be done once."""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from django.core.exceptions import RequestDataTooBig
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.api.bearer import SAFE, ApiRequest, token_of
from webapp.api.errors import refuse
from webapp.api.models import LONGEST_KEY, Answered

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
STUCK = timedelta(minutes=2)  # after which a request that has no answer is taken for dead
_Run = Callable[..., HttpResponseBase]


def name_of(request: ApiRequest) -> UUID:
    """What this request is called wherever something is done once per name."""
    key = request.headers.get(HEADER)
    if not key:
        return uuid4()
    return uuid5(NAMESPACE_URL, f"{request.user.pk}:{request.path}:{key}")


def answered_once(run: _Run) -> _Run:
    """An operation that answers a request with a key that was answered before as it did then."""

    @functools.wraps(run)
    def ask(request: HttpRequest, **parts: object) -> HttpResponseBase:
        key = request.headers.get(HEADER, "")
        token = token_of(request) if key and request.method not in SAFE else None
        if token is None:
            return run(request, **parts)
        if len(key) > LONGEST_KEY or not key.isprintable():
            words = _("An Idempotency-Key has at most {n} printable characters.")
            words = words.format(n=LONGEST_KEY)
            return refuse(422, "invalid", words, {HEADER: words})
        try:
            asked = _sum(request)
        except (RequestDataTooBig, UnreadablePostError):
            return run(request, **parts)  # which refuses it
        return _answer(token.person, key, asked, functools.partial(run, request, **parts))

    return ask


def _sum(request: HttpRequest) -> str:
    """What tells this request from others; of a form its fields and files, as a boundary is drawn anew."""
    found = hashlib.sha256(f"{request.method} {request.get_full_path()}".encode())
    if request.content_type != "multipart/form-data":
        found.update(request.body)
        return found.hexdigest()
    found.update(json.dumps(sorted(request.POST.lists())).encode())
    files: dict[str, Any] = dict(request.FILES.items())
    for name, file in sorted(files.items()):
        found.update(json.dumps([name, str(file.name)]).encode())
        for chunk in file.chunks():
            found.update(chunk)
        file.seek(0)
    return found.hexdigest()


def _answer(person: User, key: str, asked: str, run: _Run) -> HttpResponseBase:
    row, mine = _taken(person, key, asked)
    if row.sha256 != asked:
        words = _(
            "This Idempotency-Key came with another request before: send this one with a new key."
        )
        return refuse(409, "key", words)
    if not mine:
        return _as_then(row)
    try:
        response = run()
    except BaseException:
        row.delete()
        raise
    if 200 <= response.status_code < 300 and isinstance(response, HttpResponse):
        row.status, row.answer = response.status_code, response.content.decode()
        row.save(update_fields=["status", "answer"])
    else:
        row.delete()  # nothing was done: the same may be tried again
    return response


def _taken(person: User, key: str, asked: str) -> tuple[Answered, bool]:
    """The row of this key, and whether this request is the one that answers it."""
    there = Answered.objects.filter(person=person, key=key)
    there.filter(created_at__lt=Now() - KEPT).delete()
    row, new = Answered.objects.get_or_create(person=person, key=key, defaults={"sha256": asked})
    dead = there.filter(status=None, sha256=asked, created_at__lt=Now() - STUCK)
    return row, new or bool(dead.update(created_at=Now()))


def _as_then(row: Answered) -> HttpResponse:
    """The answer of a request that came before."""
    if row.status is None:
        response: HttpResponse = refuse(
            409, "busy", _("The same request is being answered: ask again in a second.")
        )
        response["Retry-After"] = "1"
        return response
    response = HttpResponse(
        row.answer, status=row.status, content_type="application/json; charset=utf-8"
    )
    response["Idempotency-Replayed"] = "true"
    return response


def forget_answers() -> int:
    """Drop what nobody may send again; how many. A duty of `tend`."""
    return Answered.objects.filter(created_at__lt=Now() - KEPT).delete()[0]
