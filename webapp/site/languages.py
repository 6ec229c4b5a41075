"""The language of a page: what its reader chose, else what this browser was set to, else what it asks for."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.translation.trans_real import DjangoTranslation
from django.views.i18n import JavaScriptCatalog

KEPT = 365 * 24 * 3600  # seconds that a browser remembers it


class ReadersLanguage:
    """From the session's person on, words are in the reader's language; behind the answer in nobody's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """What no view answers is in the language of the browser."""
        with translation.override(translation.get_language_from_request(request)):
            return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: object, _args: object, _kwargs: object
    ) -> None:
        """The address is resolved, so who is there can be read in one query with their place in its project."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return  # nobody's page, or a program's
        chosen = getattr(request.user, "language", "")
        if chosen in dict(settings.LANGUAGES):
            translation.activate(chosen)


def remember(response: HttpResponse, language: str) -> HttpResponse:
    """Let this browser ask for a language from now on, whoever is signed in."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=KEPT,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


@lru_cache(maxsize=len(settings.LANGUAGES))
def words_of_scripts(language: str) -> Mapping[str, str | list[str]]:
    """What scripts say, by the words in them; nothing where these are in the language already."""
    if language == settings.LANGUAGE_CODE:
        return {}
    view = JavaScriptCatalog()
    view.translation = DjangoTranslation(language, domain="djangojs")
    catalogue: Mapping[str, str | list[str]] = view.get_catalog()
    return catalogue
