"""Tokens of people for their programs, and the answers that those have had."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from webapp.rendering.names import NameField

LONGEST_NAME = 80
LONGEST_KEY = 200  # of an Idempotency-Key, in characters


class TokenQuerySet(models.QuerySet["Token"]):
    """Tokens by whether they work."""

    def working(self) -> "TokenQuerySet":
        """Neither revoked nor past its end, of a person who has not been deactivated since."""
        return self.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=Now()),
            revoked_at__isnull=True,
            person__is_active=True,
            sessions_ended=F("person__sessions_ended"),
        )


class Token(models.Model):
    """A secret by which a program acts for a person; only its hash is kept."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    name = NameField(max_length=LONGEST_NAME)
    scopes = models.JSONField()  # names of api.scopes.Scope
    sha256 = models.CharField(max_length=64, unique=True)
    sessions_ended = models.IntegerField()  # its person's then: a deactivation ends it for good
    created_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Answered(models.Model):
    """A request with an Idempotency-Key: the same again gets the same answer."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=LONGEST_KEY)
    sha256 = models.CharField(max_length=64)  # of what was asked
    status = models.IntegerField(null=True)  # null: it is being answered
    answer = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "key"], name="answered_once")]
        indexes = [models.Index(fields=["created_at"], name="answered_by_age")]
