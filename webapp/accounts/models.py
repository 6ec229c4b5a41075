"""People, and the links that let them in."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any, ClassVar, TypedDict, Unpack

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property

from webapp.accounts import names
from webapp.accounts.roles import Role
from webapp.rendering.names import NameField, visible
from webapp.site.clock import after

SESSION_SALT = "webapp.accounts.session"


class People(UserManager["User"]):
    """Accounts, found by any name that is taken for theirs."""

    use_in_migrations = False

    def get_by_natural_key(self, username: str | None) -> "User":
        """Whom somebody means who signs in by this name, in whatever case."""
        return self.get(name_form=names.name_form_of(username or ""))

    def matching(self, username: str) -> "models.QuerySet[User]":
        """The account of this name, if there is one."""
        return self.filter(name_form=names.name_form_of(username))


class User(AbstractUser):
    """A person, or a simulated annotator marked as one."""

    name_form = names.NameForm(max_length=names.LONGEST, unique=True, editable=False)
    simulated = models.BooleanField(default=False)
    sessions_ended = models.IntegerField(default=0)  # how often all sessions were ended at once
    label_keys = models.JSONField(default=dict)  # labeling.keys: what this person has changed
    raw_view = models.BooleanField(default=False)  # prefers texts as they were written
    time_zone = models.CharField(max_length=64, blank=True, default="")  # of their days; none: UTC
    unread = models.IntegerField(default=0)  # of notifications: in the header of every page
    language = models.CharField(
        max_length=16, blank=True, default=""
    )  # that was chosen; none: as the browser asks

    reads = models.JSONField(default=list)  # codes of languages in which they are asked; none: all

    objects: ClassVar[People] = People()
    # The key and name of the token by which a program acts for this person in this request; none: they themselves.
    by_token: tuple[int | None, str] = (None, "")

    @cached_property
    def seats(self) -> dict[int, Any]:
        """Where this person is in projects, as far as `projects.access` has looked for this request."""
        return {}

    @property
    def shown_name(self) -> str:
        """How pages call this person."""
        return visible(self.get_full_name() or self.username)

    @transaction.atomic
    def save(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as Django has it
        """Store the row; a new password ends the links that were to choose one."""
        changed = getattr(self, "_password", None) is not None  # Django's, until the row is stored
        super().save(*arguments, **options)
        if changed:
            self.links.pending().filter(purpose=OneTimeLink.Purpose.RESET).delete()

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Django's own, with one more part: a session from before a deactivation stays dead after it.
        value = f"{self.password}:{self.sessions_ended}"
        return salted_hmac(SESSION_SALT, value, secret=secret, algorithm="sha256").hexdigest()


class OneTimeLinkQuerySet(models.QuerySet["OneTimeLink"]):
    """Links by what can still be done with them."""

    def pending(self) -> "OneTimeLinkQuerySet":
        """Links that still work, newest first."""
        return self.filter(used_at__isnull=True, expires_at__gt=Now()).order_by("-pk")

    def opened_by(self, token: str, purpose: str) -> "OneTimeLinkQuerySet":
        """The link for this purpose that the token opens, if it still works."""
        return self.pending().filter(token_sha256=_sha256(token), purpose=purpose)

    def invitations(self, project_id: int) -> "OneTimeLinkQuerySet":
        """Invitations to a project that nobody has used yet."""
        return self.pending().filter(purpose=OneTimeLink.Purpose.INVITE, project=project_id)


class OneTimeLink(models.Model):
    """A secret address that works once; only the hash of its token is kept."""

    class Purpose(models.TextChoices):
        SETUP = "setup", "create the first admin"
        INVITE = "invite", "join a project"
        RESET = "reset", "choose a new password"

    purpose = models.CharField(max_length=16, choices=Purpose)
    token_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="links_made"
    )
    # Of an invitation: where to, as what, and for whom in the admin's words.
    project = models.ForeignKey(
        "projects.Project", models.CASCADE, null=True, blank=True, related_name="+"
    )
    role = models.CharField(max_length=16, choices=Role, blank=True)
    note = NameField(max_length=200, blank=True)
    # Whose password is chosen anew, or who came by the invitation.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="links"
    )

    objects = OneTimeLinkQuerySet.as_manager()


def _sha256(token: str) -> str:
    """Hash of a token, as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


class Circumstances(TypedDict, total=False):
    """What a link carries beside its purpose."""

    created_by: User
    project_id: int
    role: str
    note: str
    user: User


def new_link(
    purpose: str, *, valid: timedelta = timedelta(days=2), **columns: Unpack[Circumstances]
) -> str:
    """Store a new link and return its token, which is shown once and never again."""
    token = secrets.token_urlsafe(32)
    OneTimeLink.objects.create(
        purpose=purpose,
        token_sha256=_sha256(token),
        expires_at=after(valid.total_seconds()),
        **columns,
    )
    return token


class Session(AbstractBaseSession):
    """Django's session, with the person who is signed in in it, so that one query reads both."""

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="sessions"
    )
