"""People, and the links that let them in."""

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone


class User(AbstractUser):
    """A person, or a simulated annotator marked as one."""

    simulated = models.BooleanField(default=False)

    @property
    def shown_name(self) -> str:
        """How pages call this person."""
        return self.get_full_name() or self.username


class OneTimeLinkQuerySet(models.QuerySet["OneTimeLink"]):
    """Links by what can still be done with them."""

    def usable(self, token: str) -> "OneTimeLinkQuerySet":
        """The unused, unexpired link this token opens, if any."""
        return self.filter(
            token_sha256=sha256(token), used_at__isnull=True, expires_at__gt=timezone.now()
        )


class OneTimeLink(models.Model):
    """A secret address that works once; only the hash of its token is kept."""

    class Purpose(models.TextChoices):
        SETUP = "setup", "create the first admin"

    purpose = models.CharField(max_length=16, choices=Purpose)
    token_sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    objects = OneTimeLinkQuerySet.as_manager()


def sha256(token: str) -> str:
    """Hash of a token, as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_link(purpose: str, *, valid: timedelta = timedelta(days=2)) -> str:
    """Store a new link and return its token, which is shown once and never again."""
    token = secrets.token_urlsafe(32)
    OneTimeLink.objects.create(
        purpose=purpose, token_sha256=sha256(token), expires_at=timezone.now() + valid
    )
    return token
