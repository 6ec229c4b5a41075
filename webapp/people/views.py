"""The pages behind one-time links, and that of a lost password."""

from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink, User
from webapp.accounts.requests import PersonRequest
from webapp.people import carrying, links, services
from webapp.people.factors import has_second_factor
from webapp.people.forms import AccountForm, OwnAccountForm
from webapp.projects.models import Membership
from webapp.site.languages import remember

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
Purpose = OneTimeLink.Purpose
PAGES: dict[str, str] = {
    Purpose.SETUP: "accounts:setup_page",
    Purpose.INVITE: "accounts:invitation_page",
    Purpose.RESET: "accounts:reset_page",
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, token: str, purpose: str) -> HttpResponse:
    """Take the token out of the address; a used or expired link says what to do."""
    if not carrying.TOKEN.fullmatch(token) or not links.is_open(token, purpose):
        return _spent(request, purpose)
    return carrying.carry(request, token, to=PAGES[purpose])


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest, link: str) -> HttpResponse:
    """Make the first admin and sign them in."""
    token = carrying.carried(request, link)
    if not links.is_open(token, Purpose.SETUP):
        return _spent(request, Purpose.SETUP, astray=not token)
    form = AccountForm(request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/setup.html", {"form": form})
    try:
        user = links.create_first_admin(token, **_account(form))
    except AccountError:
        return _spent(request, Purpose.SETUP)
    login(request, user, backend=MODEL_BACKEND)
    return carrying.laid_down(request, redirect("home"))


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, link: str) -> HttpResponse:
    """Let an invited person make an account, or join with the one they are signed in with."""
    token = carrying.carried(request, link)
    opened = OneTimeLink.objects.opened_by(token, Purpose.INVITE).select_related("project")
    if (found := opened.first()) is None:
        return _spent(request, Purpose.INVITE, astray=not token)
    if request.user.is_authenticated:
        return _invited(request, found, None, partial(links.accept, token, request.user))
    form = AccountForm(request.POST or None)
    return _invited(request, found, form, partial(_accept_as_new, request, token, form))


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
    return carrying.laid_down(request, redirect("project", joined.project_id))


def _accept_as_new(request: HttpRequest, token: str, form: AccountForm) -> Membership:
    joined = links.accept_as_new(token, **_account(form))
    login(request, joined.user, backend=MODEL_BACKEND)
    return joined


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, link: str) -> HttpResponse:
    """Let a person whose admin made this link choose a new password, and sign them in."""
    token = carrying.carried(request, link)
    person = links.open_reset(token)
    if person is None:
        return _spent(request, Purpose.RESET, astray=not token)
    form = SetPasswordForm(person, request.POST or None)
    if not form.is_valid():
        return render(request, "accounts/reset.html", {"form": form, "person": person})
    try:
        user = links.reset_password(token, form.cleaned_data["new_password1"])
    except AccountError:
        return _spent(request, Purpose.RESET)
    messages.success(request, _("Your new password is set."))
    if has_second_factor(user):  # a link does not stand for it
        return carrying.laid_down(request, redirect("account_login"))
    login(request, user, backend=MODEL_BACKEND)
    return carrying.laid_down(request, redirect("home"))


def _account(form: AccountForm) -> dict[str, str]:
    return {
        "username": form.cleaned_data["username"],
        "password": form.cleaned_data["password1"],
    }


def _spent(request: HttpRequest, purpose: str, *, astray: bool = False) -> HttpResponse:
    """Say that a link works no longer, or that this browser did not come by one."""
    heading = _("Open your link once more") if astray else _("This link no longer works")
    context = {"purpose": purpose, "astray": astray, "heading": heading}
    return render(request, "accounts/spent.html", context, status=410)


@require_safe
def forgotten(request: HttpRequest) -> HttpResponse:
    """What to do about a lost password; nothing is mailed."""
    return render(request, "accounts/forgotten.html")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def own_account(request: PersonRequest) -> HttpResponse:
    """What somebody sets for themselves, and the ways to all else that is theirs."""
    there = {"time_zone": request.user.time_zone, "reads": request.user.reads}
    form = OwnAccountForm(request.POST if request.method == "POST" else None, initial=there)
    if form.is_valid():
        services.prefer_time_zone(request.user, form.cleaned_data["time_zone"])
        services.prefer_languages(request.user, form.cleaned_data["reads"])
        messages.success(request, _("Saved."))
        return redirect("accounts:own_account")
    return render(request, "accounts/own.html", {"form": form})


@login_required
@require_POST
def raw_view(request: PersonRequest) -> HttpResponse:
    """Keep which view of texts this person prefers."""
    services.prefer_raw_view(request.user, raw=request.POST.get("raw") == "1")
    return HttpResponse(status=204)


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Keep which language this person reads, or this browser while nobody has signed in; then back to the page."""
    chosen, back = request.POST.get("language", ""), request.POST.get("next", "")
    if chosen not in dict(settings.LANGUAGES):
        return HttpResponse(_("Attune does not speak that language."), status=400)
    if isinstance(person := request.user, User) and person.is_authenticated:
        services.prefer_language(person, chosen)
    here = url_has_allowed_host_and_scheme(back, None) and back.startswith("/")
    return remember(redirect(back if here else "home"), chosen)
