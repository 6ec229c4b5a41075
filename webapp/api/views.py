"""The page of a person's tokens, and what describes the interface."""

import json
from functools import cache
from pathlib import Path

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from webapp.accounts.requests import PersonRequest
from webapp.api.errors import missing
from webapp.api.forms import TokenForm
from webapp.api.reference import topics
from webapp.api.service import ROOT, service
from webapp.api.tokens import TokenError, make_token, revoke_token
from webapp.site.htmx import is_key

CLIENT = Path(__file__).with_name("attune_client.py")
SHOWN = 100  # tokens, the newest first


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: PersonRequest) -> HttpResponse:
    """A person's tokens, and the form of a new one, which is shown in the answer alone."""
    if "revoke" in request.POST:
        return _revoke(request)
    form, secret = TokenForm(request.POST or None, person=request.user), ""
    if form.is_valid():
        named = {name: form.cleaned_data[name] for name in ("name", "scopes")}
        try:
            secret = make_token(request.user, ends_at=form.ends_at(), **named)
        except TokenError as refusal:
            form.add_error(None, str(refusal))
        else:
            form = TokenForm(person=request.user)
    working = set(request.user.tokens.working().values_list("pk", flat=True))
    rows = request.user.tokens.order_by("-pk")[:SHOWN]
    context = {"form": form, "tokens": rows, "working": working, "secret": secret}
    return render(request, "api/tokens.html", context)


def _revoke(request: PersonRequest) -> HttpResponse:
    """End one of a person's own tokens."""
    key = request.POST["revoke"]
    token = get_object_or_404(request.user.tokens, pk=key if is_key(key) else 0)
    revoke_token(token)
    messages.success(request, _("{name} works no longer.").format(name=token.name))
    return redirect("tokens")


@login_required
@require_safe
def reference(request: PersonRequest) -> HttpResponse:
    """Every address of the interface: what it does, takes and answers."""
    url = request.build_absolute_uri(f"{ROOT}/projects")
    example = f'curl -H "Authorization: Bearer $TOKEN" {url}'
    context = {"topics": [*topics(service).items()], "example": example}
    return render(request, "api/reference.html", context)


@login_required
@require_safe
def schema(_request: HttpRequest) -> HttpResponse:
    """The same for programs, as OpenAPI."""
    return HttpResponse(_schema_text(), content_type="application/json")


@cache
def _schema_text() -> str:
    """It as JSON: what this program answers stays the same while it runs, and adding it up takes a tenth of a second."""
    with override("en"):
        return json.dumps(service.get_openapi_schema(), cls=DjangoJSONEncoder)


@login_required
@require_safe
def client(_request: HttpRequest) -> FileResponse:
    """The client for Python programs: one file."""
    return FileResponse(CLIENT.open("rb"), as_attachment=True, content_type="text/x-python")


nothing = csrf_exempt(missing)
