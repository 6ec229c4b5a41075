"""Accounts and memberships: the first admin, new members, roles."""

import secrets

from django.db import transaction
from django.utils import timezone

from webapp.accounts.errors import AccountError
from webapp.accounts.models import OneTimeLink, User
from webapp.projects.models import Membership, Project, Role


@transaction.atomic
def create_first_admin(token: str, *, username: str, password: str) -> User:
    """Use up a setup link and create the superuser; raises AccountError when it is used or expired."""
    link = OneTimeLink.objects.usable(token).filter(purpose=OneTimeLink.Purpose.SETUP)
    if not link.update(used_at=timezone.now()):
        raise AccountError("This link was used already, or it has expired.")
    return User.objects.create_superuser(username, password=password)


@transaction.atomic
def add_member(
    project: Project, username: str, role: str, password: str | None, *, simulated: bool = False
) -> Membership:
    """Give a person a role, creating the account if there is none; AccountError for a member.

    The password is for a new account only: an account somebody has keeps its own.
    """
    user = User.objects.filter(username=username).first()
    if user is None:
        user = User.objects.create_user(username, password=password, simulated=simulated)
    membership, created = Membership.objects.get_or_create(
        project=project, user=user, defaults={"role": Role(role)}
    )
    if not created:
        raise AccountError(f"{username} is a member already.")
    return membership


@transaction.atomic
def change_role(membership: Membership, role: str) -> None:
    """Change what a member may do; raises AccountError for the project's last admin."""
    _keep_an_admin(membership, role)
    Membership.objects.filter(pk=membership.pk).update(role=Role(role))


@transaction.atomic
def remove_member(membership: Membership) -> None:
    """Take a person out of the project; their labels stay. AccountError for the last admin."""
    _keep_an_admin(membership, None)
    membership.delete()


def new_password() -> str:
    """A password to hand over once."""
    return secrets.token_urlsafe(12)


def _keep_an_admin(membership: Membership, role: str | None) -> None:
    admins = Membership.objects.select_for_update().filter(
        project=membership.project_id, role=Role.ADMIN
    )
    others = [admin for admin in admins if admin.pk != membership.pk]
    if membership.role == Role.ADMIN and role != Role.ADMIN and not others:
        raise AccountError(
            f"{membership.user.shown_name} is the project's only admin; make somebody else admin first."
        )
