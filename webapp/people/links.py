"""What one-time links do: make the first admin, bring people into a project, set a password anew."""

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.people.services import join, manages, must_manage, record_in_projects
from webapp.projects.models import Membership, Project

INVITATION = timedelta(days=7)
RESET = timedelta(days=2)
SPENT = _("This link was used already, or it has expired.")
Purpose = OneTimeLink.Purpose


@transaction.atomic
def create_first_admin(token: str, *, username: str, password: str) -> User:
    """Use up all setup links and create the superuser; raises AccountError when this one works no longer."""
    pending = OneTimeLink.objects.pending().filter(purpose=Purpose.SETUP)
    list(pending.select_for_update())  # one of two that are opened at once is the first
    _use(token, Purpose.SETUP)
    pending.delete()
    made = User.objects.create_superuser(username, password=password)
    record_act(Act.PERSON_MADE, made, about=made.pk)
    return made


@transaction.atomic
def invite(project: Project, role: str, *, by: User, note: str = "") -> str:
    """The token of a new invitation; whoever opens it chooses a name and a password."""
    record_act(Act.INVITATION_MADE, by, project=project.pk, role=role)
    return new_link(
        Purpose.INVITE,
        valid=INVITATION,
        project_id=project.pk,
        role=Role(role),
        note=note,
        created_by=by,
    )


@transaction.atomic
def accept_as_new(token: str, *, username: str, password: str) -> Membership:
    """Use up an invitation and make the account it is for; AccountError when it no longer works."""
    link = _use(token, Purpose.INVITE)
    user = User.objects.create_user(username, password=password)
    record_act(Act.PERSON_MADE, user, project=link.project_id, about=user.pk)
    return _enter(link, user)


@transaction.atomic
def accept(token: str, user: User) -> Membership:
    """Use up an invitation for somebody who has an account; AccountError for a member."""
    return _enter(_use(token, Purpose.INVITE), user)


@transaction.atomic
def withdraw(link: OneTimeLink, *, by: User | None = None) -> None:
    """Let a link that nobody has used work no longer."""
    if OneTimeLink.objects.filter(pk=link.pk, used_at__isnull=True).delete()[0]:
        record_act(Act.INVITATION_WITHDRAWN, by, project=link.project_id, about=link.pk)


@transaction.atomic
def reset_link(user: User, *, by: User) -> str:
    """The token of a link that lets this person choose a new password; earlier ones stop working.

    Raises AccountError where `by` may not decide about the whole account.
    """
    must_manage(by, user)
    OneTimeLink.objects.pending().filter(purpose=Purpose.RESET, user=user).delete()
    record_in_projects(Act.RESET_MADE, user, by)
    return new_link(Purpose.RESET, valid=RESET, user=user, created_by=by)


def is_open(token: str, purpose: str) -> bool:
    """Whether a token still opens what it is for."""
    if purpose == Purpose.RESET:
        return open_reset(token) is not None
    return OneTimeLink.objects.opened_by(token, purpose).exists()


def open_reset(token: str) -> User | None:
    """Whose password the link sets anew, while its maker may still decide about the account."""
    found = OneTimeLink.objects.opened_by(token, Purpose.RESET)
    link = found.select_related("user", "created_by").first()
    if link is None or link.user is None or link.created_by is None:
        return None
    allowed = link.user.is_active and manages(link.created_by, link.user)
    return link.user if allowed else None


@transaction.atomic
def reset_password(token: str, password: str) -> User:
    """Use up a reset link; every session of the person ends. AccountError when it no longer works."""
    user = open_reset(token)
    if user is None:
        raise AccountError(SPENT)
    _use(token, Purpose.RESET)
    user.set_password(password)
    user.save(update_fields=["password"])
    record_act(Act.PASSWORD_SET, user, about=user.pk)
    return user


def _use(token: str, purpose: str) -> OneTimeLink:
    found = OneTimeLink.objects.opened_by(token, purpose)
    link = found.select_related("project").first()
    if link is None or not found.update(used_at=Now()):
        raise AccountError(SPENT)
    return link


def _enter(link: OneTimeLink, user: User) -> Membership:
    if link.project is None:
        raise AccountError(SPENT)
    OneTimeLink.objects.filter(pk=link.pk).update(user=user)
    return join(link.project, user, link.role, by=user)
