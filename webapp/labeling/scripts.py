"""Refusals of the label page: why nothing was stored, in words, and nothing of it lost.

A script or a program is told in JSON: led to the sign-in form it would take that page for an answer,
and could not tell a person what to do. A person without scripts gets the words back that they sent.
"""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views import csrf

from webapp.accounts.models import User
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import field_of
from webapp.site.htmx import HtmxRequest
from webapp.site.words import Words

TEXTS = ("rationale", "text", "guidelines")  # of forms of this site, long enough to be missed
View = Callable[..., HttpResponse]
WORDS = {
    "signed_out": _("You are signed out. Sign in again, in this tab or another."),
    "deactivated": _(
        "Your account was deactivated. An admin of your project can let you in again; then sign in."
    ),
    "other_person": _("Somebody else is signed in in this browser now."),
    "unsure": _("You may have signed in or out since the page was opened, or cookies are off."),
    "stale": _(
        "This page is older than your sign-in. Reload it: what you gave is kept in this browser."
    ),
    "not_yours": _(
        "This project is not open to you any more: your membership ended, or it was removed."
    ),
}


def is_script(request: HtmxRequest) -> bool:
    """Whether a script or a program asks, and no person's address bar."""
    return bool(request.htmx) or is_program(request)


def is_program(request: HtmxRequest) -> bool:
    """Whether the answer should be JSON."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def in_words(view: View) -> View:
    """Let whoever is signed in see the view, and tell scripts in words why they may not."""
    page = login_required(view)

    @wraps(view)
    def answer(request: HtmxRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not is_script(request):
            return _page(page, request, *args, **kwargs)
        expected = request.session.get(SESSION_KEY)  # read before the session is found to be dead
        if not request.user.is_authenticated:
            return refusal("deactivated" if _is_off(expected) else "signed_out", status=401)
        if request.POST.get("as", str(request.user.pk)) != str(request.user.pk):
            return refusal("other_person", status=403)
        try:
            return view(request, *args, **kwargs)
        except Http404:
            return refusal("not_yours", status=404)

    return answer


def _page(page: View, request: HtmxRequest, *args: object, **kwargs: object) -> HttpResponse:
    """The page, or, for an answer with words that nobody may give here any more, its words."""
    if not _gives_something(request):
        return page(request, *args, **kwargs)
    if not request.user.is_authenticated:
        return not_stored(request, WORDS["signed_out"], status=401, to_sign_in=True)
    try:
        return page(request, *args, **kwargs)
    except Http404:
        return not_stored(request, WORDS["not_yours"], status=404)


def _gives_something(request: HttpRequest) -> bool:
    """Whether words, flags or an answer of any kind were sent, which nobody should lose in silence."""
    sent = request.POST
    fields = {name for kind in TASK_KINDS.values() for name in kind.Answer.model_fields}
    return any(sent.get(name) for name in sent if field_of(name) in {"rationale", "flags", *fields})


def not_stored(
    request: HtmxRequest, why: Words, *, status: int, to_sign_in: bool = False
) -> HttpResponse:
    """A page that says why, and gives back the long texts of a form."""
    texts = [request.POST.get(name, "") for name in TEXTS]
    signs_in = {"where": f"{reverse('account_login')}?next={request.path}", "action": _("Sign in")}
    leaves = {"where": reverse("home"), "action": _("Go home")}
    context: dict[str, object] = {"why": why, "words": "\n\n".join(filter(None, texts))}
    context |= signs_in if to_sign_in else leaves
    return render(request, "labeling/not_stored.html", context, status=status)


def csrf_failure(request: HtmxRequest, reason: str = "") -> HttpResponse:
    """Whose cookie does not fit the page: a script is told, a person sees a page that says what to do."""
    if not is_script(request):
        written = any(request.POST.get(name) for name in TEXTS)
        return (
            not_stored(request, WORDS["unsure"], status=403)
            if written
            else csrf.csrf_failure(request, reason)
        )
    if request.user.is_authenticated:
        return refusal("stale", status=403)
    return refusal("signed_out", status=401)


def refusal(kind: str, *, status: int) -> JsonResponse:
    """One of WORDS."""
    return JsonResponse({"kind": kind, "error": WORDS[kind]}, status=status)


def _is_off(person: str | None) -> bool:
    return person is not None and User.objects.filter(pk=person, is_active=False).exists()
