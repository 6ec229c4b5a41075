"""Refusals as programs get them: one shape, `{"error", "kind", "fields"}`."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from webapp.api.scopes import Scope
from webapp.machine.outages import answer, outage_of
from webapp.site.errors import Refusal
from webapp.site.words import Words

CUT_OFF = gettext_lazy("The end of what was sent is missing; send it again.")


class ScopeError(Refusal):
    """The token is not for this."""

    def __init__(self, scope: Scope) -> None:
        words = _("This token is not for “{scope}”: make one that is, on the page “API tokens”.")
        super().__init__(words.format(scope=scope.value))


class FieldsError(Refusal):
    """Something that was sent is wrong; `fields` says of each what."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = dict(fields)


class LimitError(Refusal):
    """Wrong tokens came too often from one address."""


def refuse(
    status: int, kind: str, words: Words, fields: Mapping[str, str] | None = None
) -> JsonResponse:
    """The answer that says what is wrong, in words that say what to try."""
    said = {"error": str(words), "kind": kind, "fields": dict(fields or {})}
    return JsonResponse(said, status=status)


def missing(_request: HttpRequest, *_rest: object, **_parts: object) -> JsonResponse:
    """Nothing is there, or nothing that this person may see."""
    words = _("There is nothing here that this token may see: look at the address and the project.")
    return refuse(404, "missing", words)


def say_unknown(*_rest: object) -> JsonResponse:
    """Nobody is known by what was sent."""
    words = _(
        "Send a token that works, as “Authorization: Bearer …”; the page “API tokens” makes one."
    )
    response = refuse(401, "token", words)
    response["WWW-Authenticate"] = "Bearer"
    return response


def say_limited(_request: HttpRequest, error: LimitError) -> JsonResponse:
    """Wrong tokens came too often."""
    response = refuse(429, "limit", str(error))
    response["Retry-After"] = "60"
    return response


def _too_large(_request: HttpRequest, _error: RequestDataTooBig) -> JsonResponse:
    return refuse(
        413, "large", _("This is too much for one request: send it in parts, or as a file.")
    )


def _invalid(_request: HttpRequest, error: ValidationError) -> JsonResponse:
    """What pydantic refused, each by its place in what was sent."""
    fields = {_place(wrong): str(wrong["msg"]) for wrong in error.errors}
    words = _("Something that was sent is wrong; mend it as “fields” says.")
    return refuse(422, "invalid", words, fields)


def _place(wrong: Mapping[str, Any]) -> str:
    """The field's name, without where in a request ninja looked for it."""
    where, *inside = wrong["loc"]
    return ".".join(str(part) for part in inside[1 if where in ("body", "form") else 0 :]) or str(
        where
    )


def _broken(request: HttpRequest, error: Exception) -> HttpResponse:
    """An outage in words; anything else is a bug, and Django's."""
    if (outage := outage_of(error)) is None:
        raise error
    return answer(request, outage)


def _unread(_request: HttpRequest, error: HttpError) -> JsonResponse:
    """A body that is no JSON."""
    return refuse(error.status_code, "unread", _("The body cannot be read: send JSON in UTF-8."))


HANDLERS: tuple[tuple[type[Exception], Any], ...] = (
    (Exception, _broken),
    (Http404, missing),
    (HttpError, _unread),
    (AuthenticationError, say_unknown),
    (ValidationError, _invalid),
    (Refusal, lambda _request, error: refuse(409, "refused", str(error))),
    (FieldsError, lambda _request, error: refuse(422, "invalid", str(error), error.fields)),
    (ScopeError, lambda _request, error: refuse(403, "scope", str(error))),
    (RequestDataTooBig, _too_large),
    (UnreadablePostError, lambda _request, _error: refuse(400, "unread", CUT_OFF)),
    (LimitError, say_limited),
)


def add_handlers(api: NinjaAPI) -> None:
    """Let refusals be answered so."""
    for kind, handler in HANDLERS:
        api.add_exception_handler(kind, handler)
