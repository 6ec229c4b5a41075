"""Answers to a person are kept by nobody between."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

KEPT_APART = "private, no-cache"


class PrivateAnswers:
    """What says nothing of caches itself is private, and asked for again before it is shown once more."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, with its word to caches."""
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", KEPT_APART)
        return response
