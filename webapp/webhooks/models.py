"""Webhooks: addresses of other programs that hear of acts in a project, and what was told to each."""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from webapp.audit.models import AuditEntry
from webapp.jobs.models import FINAL, Job
from webapp.projects.models import Project

LONGEST_URL = 500


class WebhookQuerySet(models.QuerySet["Webhook"]):
    """Webhooks by whether something is to be done for them."""

    def working(self) -> "WebhookQuerySet":
        """Those that are told of acts."""
        return self.filter(disabled_at__isnull=True)

    def due(self) -> "WebhookQuerySet":
        """Those for which something waits that may be sent now, and no job is going to do that."""
        waiting = Delivery.objects.due().filter(webhook=OuterRef("pk"))
        idle = Q(job__isnull=True) | Q(job__state__in=FINAL)
        return self.working().filter(idle, Exists(waiting))


class Webhook(models.Model):
    """An address that is told of some acts in a project; its secret is derived, and stored nowhere."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=LONGEST_URL)
    acts = models.JSONField()  # of audit.acts.Act
    salt = models.CharField(max_length=32)  # drawn anew, it gives another secret
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    failing_since = models.DateTimeField(null=True)  # since then nothing was taken
    disabled_at = models.DateTimeField(null=True)
    why = models.CharField(max_length=200, blank=True)  # it was disabled
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")  # that sends

    objects = WebhookQuerySet.as_manager()

    def __str__(self) -> str:
        return self.url


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries by what happens to them next."""

    def due(self) -> "DeliveryQuerySet":
        """Those that may be tried now."""
        return self.filter(state=Delivery.State.WAITING, due_at__lte=Now())


class Delivery(models.Model):
    """One act, told to one webhook: the same id however often it is tried."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("failed")

    FINAL_STATES: ClassVar = (State.DELIVERED, State.FAILED)

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    entry = models.ForeignKey(AuditEntry, models.CASCADE, related_name="+")
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    code = models.IntegerField(null=True)  # of the last answer
    message = models.CharField(max_length=200, blank=True)  # what was wrong with it
    tried_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "entry"], name="delivered_once")]
        indexes = [
            models.Index(fields=["webhook", "id"], name="delivery_by_webhook"),
            models.Index(fields=["state", "due_at"], name="delivery_by_time"),
        ]

    @property
    def again_at(self) -> datetime | None:
        """When it is tried again, if it is."""
        waits = self.state == self.State.WAITING and self.attempts
        return self.due_at if waits else None


class LabelCount(models.Model):
    """How many labels a project has been given, as far as somebody has counted who tells of it."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="+")
    newest = models.BigIntegerField(default=0)  # key of the last label that is counted
    labels = models.BigIntegerField(default=0)
