"""The pages behind one-time links, and that of a lost password."""

from collections.abc import Callable
from functools import partial

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink
from webapp.accounts.requests import PersonRequest
from webapp.people import links, services
from webapp.people.forms import AccountForm
from webapp.projects.models import Membership

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
Purpose = OneTimeLink.Purpose


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """Make the first admin and sign them in; a used or expired link says what to do."""
    if not OneTimeLink.objects.opened_by(token, Purpose.SETUP).exists():
        return _spent(request, Purpose.SETUP)
    form = AccountForm(request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/setup.html", {"form": form})
    try:
        user = links.create_first_admin(token, **_account(form))
    except AccountError:
        return _spent(request, Purpose.SETUP)
    login(request, user, backend=MODEL_BACKEND)
    return redirect("home")


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Let an invited person make an account, or join with the one they are signed in with."""
    found = OneTimeLink.objects.opened_by(token, Purpose.INVITE).select_related("project")
    if (link := found.first()) is None:
        return _spent(request, Purpose.INVITE)
    if request.user.is_authenticated:
        return _invited(request, link, None, partial(links.accept, token, request.user))
    form = AccountForm(request.POST or None)
    return _invited(request, link, form, partial(_accept_as_new, request, token, form))


def _invited(
    request: HttpRequest,
    link: OneTimeLink,
    form: AccountForm | None,
    accept: Callable[[], Membership],
) -> HttpResponse:
    context = {"form": form, "link": link}
    if request.method != "POST" or (form and not form.is_valid()):
        return render(request, "accounts/invitation.html", context)
    try:
        joined = accept()
    except AccountError as refusal:
        return render(request, "accounts/invitation.html", context | {"refusal": refusal})
    return redirect("project", joined.project_id)


def _accept_as_new(request: HttpRequest, token: str, form: AccountForm) -> Membership:
    joined = links.accept_as_new(token, **_account(form))
    login(request, joined.user, backend=MODEL_BACKEND)
    return joined


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, token: str) -> HttpResponse:
    """Let a person whose admin made this link choose a new password, and sign them in."""
    person = links.open_reset(token)
    if person is None:
        return _spent(request, Purpose.RESET)
    form = SetPasswordForm(person, request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/reset.html", {"form": form, "person": person})
    try:
        user = links.reset_password(token, form.cleaned_data["new_password1"])
    except AccountError:
        return _spent(request, Purpose.RESET)
    login(request, user, backend=MODEL_BACKEND)
    messages.success(request, _("Your new password is set."))
    return redirect("home")


def _account(form: AccountForm) -> dict[str, str]:
    return {
        "username": form.cleaned_data["username"],
        "password": form.cleaned_data["password1"],
    }


def _spent(request: HttpRequest, purpose: str) -> HttpResponse:
    return render(request, "accounts/spent.html", {"purpose": purpose}, status=410)


@require_safe
def forgotten(request: HttpRequest) -> HttpResponse:
    """What to do about a lost password; nothing is mailed."""
    return render(request, "accounts/forgotten.html")


@login_required
@require_POST
def raw_view(request: PersonRequest) -> HttpResponse:
    """Keep which view of texts this person prefers."""
    services.prefer_raw_view(request.user, raw=request.POST.get("raw") == "1")
    return HttpResponse(status=204)
