"""Accounts and memberships: new members, roles, who may no longer work here."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink, User
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling import queue
from webapp.labeling.cursors import lead_person_anew
from webapp.labeling.languages import start_telling
from webapp.labeling.models import Assignment
from webapp.projects.models import Membership, Project


@transaction.atomic
def add_member(
    project: Project,
    username: str,
    role: str,
    password: str | None,
    *,
    simulated: bool = False,
    by: User | None = None,
) -> Membership:
    """Give a person a role, creating the account if there is none; AccountError for a member.

    The password is for a new account only: an account somebody has keeps its own.
    """
    user = User.objects.matching(username).first()
    there = user is not None
    if user is None:
        user = User.objects.create_user(username, password=password, simulated=simulated)
        record_act(Act.PERSON_MADE, by, project=project.pk, about=user.pk)
    return join(project, user, role, by_name=there, by=by)


def join(
    project: Project, user: User, role: str, *, by_name: bool = False, by: User | None = None
) -> Membership:
    """Give somebody a role in a project; raises AccountError for a member."""
    membership, created = Membership.objects.get_or_create(
        project=project, user=user, defaults={"role": Role(role), "by_name": by_name}
    )
    if not created:
        raise AccountError(_("{name} is a member already.").format(name=user.shown_name))
    _record(Act.MEMBER_ADDED, membership, by, role=role)
    return membership


def _record(act: Act, row: Membership, by: User | None, **facts: str) -> None:
    """Tell the audit log of a membership, and whose it is."""
    record_act(act, by, project=row.project_id, about=row.pk, person=row.user_id, **facts)


def prefer_language(user: User, language: str) -> None:
    """Keep in which language this person reads, on every device."""
    User.objects.filter(pk=user.pk).update(language=language)


def prefer_time_zone(user: User, time_zone: str) -> None:
    """Keep where this person's days begin."""
    User.objects.filter(pk=user.pk).update(time_zone=time_zone)


@transaction.atomic
def prefer_languages(user: User, codes: Sequence[str]) -> None:
    """Keep in which languages this person is asked; none: all. Tasks that nobody has looked at are, by a job."""
    if sorted(codes) == sorted(user.reads):
        return
    User.objects.filter(pk=user.pk).update(reads=sorted(codes))
    lead_person_anew(user)
    if codes:
        start_telling(Project.objects.current().filter(memberships__user=user), by=user)


def prefer_raw_view(user: User, *, raw: bool) -> None:
    """Keep whether this person sees texts as they were written."""
    User.objects.filter(pk=user.pk).update(raw_view=raw)


@transaction.atomic
def change_role(membership: Membership, role: str, *, by: User | None = None) -> None:
    """Change what a member may do; raises AccountError for the project's last admin."""
    _keep_an_admin(membership, role)
    Membership.objects.filter(pk=membership.pk).update(role=Role(role))
    _record(Act.MEMBER_CHANGED, membership, by, role=role, before=membership.role)
    if role != Role.ADMIN:
        _take_back_invitations(membership)


@transaction.atomic
def remove_member(membership: Membership, *, by: User | None = None) -> None:
    """Take a person out of the project; their labels stay. AccountError for the last admin."""
    _keep_an_admin(membership, None)
    _record(Act.MEMBER_REMOVED, membership, by, role=membership.role)
    membership.delete()
    _take_back_invitations(membership)
    mine = Assignment.objects.filter(annotator=membership.user)
    queue.release(mine.filter(task__project=membership.project_id))


@transaction.atomic
def deactivate(user: User, *, by: User) -> None:
    """End somebody's sessions for good and give their tasks back; their labels stay.

    Raises AccountError for oneself, for a project's last admin, and for whom `by` does not manage.
    """
    if user == by:
        raise AccountError(_("You cannot deactivate yourself."))
    must_manage(by, user)
    for membership in user.memberships.all():
        _keep_an_admin(membership, None)
    off = {"is_active": False, "sessions_ended": F("sessions_ended") + 1}
    User.objects.filter(pk=user.pk).update(**off)
    record_in_projects(Act.PERSON_DEACTIVATED, user, by)
    OneTimeLink.objects.pending().filter(created_by=user).delete()
    queue.release(Assignment.objects.filter(annotator=user))


@transaction.atomic
def reactivate(user: User, *, by: User) -> None:
    """Let somebody sign in again, with the password they had."""
    must_manage(by, user)
    User.objects.filter(pk=user.pk).update(is_active=True)
    record_in_projects(Act.PERSON_REACTIVATED, user, by)


def record_in_projects(act: Act, user: User, by: User) -> None:
    """Tell of an account in each project that it is a member of: their admins see it."""
    found = user.memberships.values_list("project", flat=True).order_by("project")
    projects: list[int | None] = list(found)
    for project in projects or [None]:
        record_act(act, by, project=project, about=user.pk)


def manages(actor: User, user: User) -> bool:
    """Whether everything this account opens is managed by the actor: it is theirs to decide about.

    Nobody comes to manage an account by adding it by its name: the person behind it took no part in that.
    """
    if actor.is_superuser:
        return actor.is_active
    if user.is_superuser or not actor.is_active:
        return False
    theirs = set(user.memberships.values_list("project", flat=True))
    managed = actor.memberships.filter(role=Role.ADMIN).values_list("project", flat=True)
    return theirs <= set(managed) and user.memberships.filter(by_name=False).exists()


def must_manage(actor: User, user: User) -> None:
    """Raise AccountError where the actor may not decide about the whole account."""
    if not manages(actor, user):
        raise AccountError(
            _("{name} is not yours alone to manage; ask whoever runs Attune.").format(
                name=user.shown_name
            )
        )


def _take_back_invitations(membership: Membership) -> None:
    """Who invites nobody any more has no invitation out, which might let themselves in again."""
    links = OneTimeLink.objects.pending().filter(project=membership.project_id)
    links.filter(created_by=membership.user_id).delete()


def _keep_an_admin(membership: Membership, role: str | None) -> None:
    admins = Membership.objects.select_for_update().filter(
        project=membership.project_id, role=Role.ADMIN, user__is_active=True
    )
    others = [admin for admin in admins if admin.pk != membership.pk]
    if membership.role == Role.ADMIN and role != Role.ADMIN and not others:
        raise AccountError(
            _("{name} is the only admin of {project}; make somebody else admin first.").format(
                name=membership.user.shown_name, project=membership.project
            )
        )
