"""The second factor of an account: allauth's codes of an app, and recovery codes."""

from allauth.mfa import signals
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.dispatch import receiver

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.people.services import must_manage
from webapp.projects.models import Membership


def has_second_factor(user: User) -> bool:
    """Whether a password alone does not sign somebody in."""
    return bool(is_mfa_enabled(user))


def with_factors(members: QuerySet[Membership]) -> QuerySet[Membership]:
    """`second_factor` is whether a member's account has one."""
    theirs = Authenticator.objects.filter(user=OuterRef("user"))
    return members.annotate(second_factor=Exists(theirs))


@transaction.atomic
def forget_second_factor(user: User, *, by: User) -> None:
    """Let somebody who has lost theirs sign in without; AccountError for whom `by` does not manage."""
    must_manage(by, user)
    Authenticator.objects.filter(user=user).delete()
    record_act(Act.FACTOR_REMOVED, by, about=user.pk)


@receiver(signals.authenticator_added)
def _record_added(user: User, **_rest: object) -> None:
    record_act(Act.FACTOR_ADDED, user, about=user.pk)


@receiver(signals.authenticator_removed)
def _record_removed(user: User, **_rest: object) -> None:
    record_act(Act.FACTOR_REMOVED, user, about=user.pk)
