"""Members of a project, and those who are invited."""

from collections.abc import Callable, Mapping

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Query, Router

from webapp.accounts.models import OneTimeLink, User
from webapp.api.bearer import ApiRequest, open_project
from webapp.api.filled import filled
from webapp.api.paging import ListPart, PageSchema, Paging, RowId, list_part
from webapp.api.schemas import InvitationSchema, LinkSchema, MemberSchema
from webapp.api.sent import InvitationSent, MemberSent, RoleSent
from webapp.people import links, services
from webapp.people.factors import forget_second_factor, with_factors
from webapp.people.forms import AddMemberForm, InviteForm, RoleForm
from webapp.projects.access import Action
from webapp.projects.models import Membership, Project

router = Router(tags=["members"])


def _of_account(change: Callable[..., None]) -> Callable[..., None]:
    """What is done to a member's account, as something done to a membership."""

    def act(row: Membership, *, by: User) -> None:
        change(row.user, by=by)

    return act


ACTS: Mapping[str, Callable[..., None]] = {
    "remove": services.remove_member,
    "deactivate": _of_account(services.deactivate),
    "reactivate": _of_account(services.reactivate),
    "forget-second-factor": _of_account(forget_second_factor),
}


def member_in(project: Project, membership_id: int) -> Membership:
    """The member with what is told of them."""
    members = with_factors(project.memberships.select_related("user"))
    return get_object_or_404(members, pk=membership_id)


@router.get("/projects/{project_id}/members", response=PageSchema[MemberSchema])
def list_members(
    request: ApiRequest, project_id: RowId, paging: Query[Paging]
) -> ListPart[Membership]:
    """Members, in the order in which they came."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    return list_part(with_factors(project.memberships.select_related("user")), paging)


@router.post(
    "/projects/{project_id}/members", response={201: MemberSchema}, operation_id="add_member"
)
def join_by_name(request: ApiRequest, project_id: RowId, sent: MemberSent) -> Membership:
    """Let somebody in who has an account."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    form = filled(AddMemberForm, sent.dict())
    added = services.add_member(project, **form.cleaned_data, password=None, by=request.user)
    return member_in(project, added.pk)


@router.post(
    "/projects/{project_id}/members/{membership_id}/role",
    response=MemberSchema,
    operation_id="change_role",
)
def give_role(
    request: ApiRequest, project_id: RowId, membership_id: RowId, sent: RoleSent
) -> Membership:
    """Change what a member may do."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    form = filled(RoleForm, sent.dict())
    row = member_in(project, membership_id)
    services.change_role(row, form.cleaned_data["role"], by=request.user)
    return member_in(project, row.pk)


@router.post("/projects/{project_id}/members/{membership_id}/{action}", response={204: None})
def act_on_member(
    request: ApiRequest, project_id: RowId, membership_id: RowId, action: str
) -> None:
    """Remove a member, end or restore what their account may do, or forget their second factor."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    row = member_in(project, membership_id)
    if action not in ACTS:
        raise Http404
    ACTS[action](row, by=request.user)


@router.get("/projects/{project_id}/invitations", response=PageSchema[InvitationSchema])
def list_invitations(
    request: ApiRequest, project_id: RowId, paging: Query[Paging]
) -> ListPart[OneTimeLink]:
    """Invitations that nobody has used, the newest first; their links are told once, to who makes them."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    return list_part(OneTimeLink.objects.invitations(project.pk), paging, newest=True)


@router.post(
    "/projects/{project_id}/invitations", response={201: LinkSchema}, operation_id="invite"
)
def invite_somebody(request: ApiRequest, project_id: RowId, sent: InvitationSent) -> dict[str, str]:
    """Make an invitation; its link works once and is answered this once."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    form = filled(InviteForm, sent.dict())
    token = links.invite(project, **form.cleaned_data, by=request.user)
    return {"url": request.build_absolute_uri(reverse("accounts:invitation", args=[token]))}


@router.post(
    "/projects/{project_id}/invitations/{link_id}/withdraw",
    response={204: None},
    operation_id="withdraw_invitation",
)
def take_back(request: ApiRequest, project_id: RowId, link_id: RowId) -> None:
    """Let an invitation work no longer."""
    project = open_project(request, project_id, Action.MANAGE_MEMBERS)
    link = get_object_or_404(OneTimeLink.objects.invitations(project.pk), pk=link_id)
    links.withdraw(link, by=request.user)
