"""The page of a project's members: invitations, roles, lost passwords, deactivation."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink
from webapp.accounts.requests import PersonRequest
from webapp.accounts.roles import Role
from webapp.people import links, services
from webapp.people.factors import forget_second_factor, with_factors
from webapp.people.forms import AddMemberForm, InviteForm, RoleForm
from webapp.projects.access import Action, project_for
from webapp.projects.models import Membership, Project
from webapp.site.pages import page_of

MOST_SHOWN = 50  # invitations


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def members(request: PersonRequest, project_id: int) -> HttpResponse:
    """The members and what invites or adds one."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    adding = AddMemberForm(request.POST or None)
    if adding.is_valid():
        try:
            added = services.add_member(here, **adding.cleaned_data, password=None, by=request.user)
        except AccountError as refusal:
            adding.add_error("username", str(refusal))
        else:
            messages.success(
                request, _("{name} is a member now.").format(name=added.user.shown_name)
            )
            return redirect("members", here.pk)
    return _page(request, here, adding=adding)


def _page(request: PersonRequest, here: Project, **extra: object) -> HttpResponse:
    """The members page, with a form that was refused or a link that is shown this once."""
    people = with_factors(here.memberships.select_related("user"))
    context = {
        "project": here,
        "page": page_of(people, request.GET, "user__username"),
        "roles": Role.choices,
        "invitations": OneTimeLink.objects.invitations(here.pk).select_related("created_by")[
            :MOST_SHOWN
        ],
        "inviting": InviteForm(),
        "adding": AddMemberForm(),
    }
    return render(request, "projects/members.html", context | extra)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: PersonRequest, project_id: int) -> HttpResponse:
    """Make an invitation; the answer is the only page that ever shows its link."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    if request.method != "POST":
        return redirect("members", here.pk)  # the page was left and its address opened again
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _page(request, here, inviting=form)
    token = links.invite(here, **form.cleaned_data, by=request.user)
    role = Role(form.cleaned_data["role"]).label.lower()
    words = _("Send this link to the new {role}; it works once, for seven days").format(role=role)
    return _page(request, here, made=_made(request, "invitation", token), made_words=words)


@login_required
@require_POST
def withdraw(request: PersonRequest, project_id: int, link_id: int) -> HttpResponse:
    """Let an invitation work no longer."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    link = get_object_or_404(OneTimeLink.objects.invitations(here.pk), pk=link_id)
    links.withdraw(link, by=request.user)
    messages.success(request, _("The invitation is withdrawn: its link no longer works."))
    return redirect("members", here.pk)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: PersonRequest, project_id: int, membership_id: int) -> HttpResponse:
    """Make a link with which a member chooses a new password; this answer alone shows it."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    person = _member(here, membership_id).user
    if request.method != "POST":
        return redirect("members", here.pk)
    try:
        token = links.reset_link(person, by=request.user)
    except AccountError as refusal:
        messages.error(request, str(refusal))
        return redirect("members", here.pk)
    words = _("Send {name} this link to choose a new password; it works once, for two days")
    words = words.format(name=person.shown_name)
    return _page(request, here, made=_made(request, "reset", token), made_words=words)


@login_required
@require_POST
def member(request: PersonRequest, project_id: int, membership_id: int) -> HttpResponse:
    """Change a member's role, remove them, or end and restore what their account may do."""
    here = project_for(request.user, project_id, can=Action.MANAGE_MEMBERS)
    row = _member(here, membership_id)
    if (act := ACTS.get(request.POST.get("act", ""))) is None:
        raise Http404
    try:
        if said := act(row, request):
            messages.success(request, said)
    except AccountError as refusal:
        messages.error(request, str(refusal))
    return redirect("members", here.pk)


def _change_role(row: Membership, request: PersonRequest) -> str:
    form = RoleForm(request.POST)
    if not form.is_valid():
        return ""
    services.change_role(row, form.cleaned_data["role"], by=request.user)
    return _("{name} is now {role}.").format(
        name=row.user.shown_name, role=Role(form.cleaned_data["role"]).label.lower()
    )


def _remove(row: Membership, request: PersonRequest) -> str:
    services.remove_member(row, by=request.user)
    return _("{name} is no longer a member.").format(name=row.user.shown_name)


def _deactivate(row: Membership, request: PersonRequest) -> str:
    services.deactivate(row.user, by=request.user)
    return _("{name} can no longer sign in. Their labels stay.").format(name=row.user.shown_name)


def _forget_second_factor(row: Membership, request: PersonRequest) -> str:
    forget_second_factor(row.user, by=request.user)
    return _(
        "{name} signs in by their password alone until they set up a second factor again."
    ).format(name=row.user.shown_name)


def _reactivate(row: Membership, request: PersonRequest) -> str:
    services.reactivate(row.user, by=request.user)
    return _("{name} can sign in again, with the password they had.").format(
        name=row.user.shown_name
    )


ACTS: dict[str, Callable[[Membership, PersonRequest], str]] = {
    "role": _change_role,
    "remove": _remove,
    "deactivate": _deactivate,
    "reactivate": _reactivate,
    "second": _forget_second_factor,
}


def _member(here: Project, membership_id: int) -> Membership:
    return get_object_or_404(here.memberships.select_related("user"), pk=membership_id)


def _made(request: PersonRequest, name: str, token: str) -> str:
    return request.build_absolute_uri(reverse(f"accounts:{name}", args=[token]))
