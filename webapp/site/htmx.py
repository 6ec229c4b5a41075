"""Answer with a page or with one fragment of it."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

DIGITS = 20  # of a number that fits in 64 bits


class HtmxRequest(HttpRequest):
    """A request that went through django-htmx's middleware."""

    htmx: HtmxDetails


def render_page(
    request: HtmxRequest, template: str, context: Mapping[str, Any], *, partial: str
) -> HttpResponse:
    """The whole page, or only `partial` of it when htmx asks for a fragment."""
    htmx = request.htmx
    fragment = htmx and not htmx.boosted and not htmx.history_restore_request
    name = f"{template}#{partial}" if fragment else template
    response = render(request, name, dict(context))
    patch_vary_headers(response, ["HX-Request"])
    return response


def is_key(text: str) -> bool:
    """Whether an address's text can be the key of a row: digits that a database's integers hold."""
    return text.isdecimal() and len(text) < DIGITS and int(text) < 2**63
