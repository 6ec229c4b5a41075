"""What admins do to webhooks."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.audit.records import record_act
from webapp.projects.models import Project
from webapp.webhooks.deliveries import queue_delivery, start_due
from webapp.webhooks.errors import WebhookError
from webapp.webhooks.models import Delivery, Webhook
from webapp.webhooks.signatures import new_salt, secret_from
from webapp.webhooks.targets import check_target

MOST = 20  # of a project: each is asked at every act


@transaction.atomic
def make_webhook(
    project: Project, *, url: str, acts: Sequence[str], by: User | None
) -> tuple[Webhook, str]:
    """A new webhook, and its secret, which is told this once. Raises WebhookError."""
    check_target(url)
    Project.objects.select_for_update().get(pk=project.pk)  # counted one at a time
    if project.webhooks.count() >= MOST:
        raise WebhookError(_("A project has {n} webhooks at most.").format(n=MOST))
    made = project.webhooks.create(url=url, acts=list(acts), salt=new_salt(), created_by=by)
    _record(Act.WEBHOOK_MADE, made, by, host=urlsplit(url).hostname, acts=" ".join(acts))
    return made, secret_from(made.salt)


@transaction.atomic
def draw_secret(webhook: Webhook, *, by: User | None) -> str:
    """Another secret, told this once; the one before proves nothing any more."""
    salt = new_salt()
    Webhook.objects.filter(pk=webhook.pk).update(salt=salt)
    _record(Act.WEBHOOK_CHANGED, webhook, by, what="secret")
    return secret_from(salt)


@transaction.atomic
def turn_off(webhook: Webhook, *, by: User | None) -> None:
    """Tell it nothing until it is turned on again; what happens meanwhile it never hears."""
    if Webhook.objects.working().filter(pk=webhook.pk).update(disabled_at=Now(), why=""):
        _record(Act.WEBHOOK_CHANGED, webhook, by, what="off")


@transaction.atomic
def turn_on(webhook: Webhook, *, by: User | None) -> None:
    """Tell it of acts again, first of those that still wait."""
    off = Webhook.objects.filter(pk=webhook.pk, disabled_at__isnull=False)
    if off.update(disabled_at=None, failing_since=None, why=""):
        _record(Act.WEBHOOK_CHANGED, webhook, by, what="on")
        transaction.on_commit(start_due, robust=True)


@transaction.atomic
def remove_webhook(webhook: Webhook, *, by: User | None) -> None:
    """Forget it, with what was told to it."""
    _record(Act.WEBHOOK_REMOVED, webhook, by)
    webhook.delete()


@transaction.atomic
def try_webhook(webhook: Webhook, *, by: User | None) -> Delivery:
    """Tell it of this try, as of any act. Raises WebhookError for one that is turned off."""
    _must_work(webhook)
    return queue_delivery(webhook, _record(Act.WEBHOOK_TESTED, webhook, by))


@transaction.atomic
def send_again(delivery: Delivery, *, by: User | None) -> None:
    """Tell it once more, under the same name, whatever came of it. Raises WebhookError."""
    _must_work(delivery.webhook)
    anew = {"state": Delivery.State.WAITING, "attempts": 0, "due_at": Now()}
    Delivery.objects.filter(pk=delivery.pk).update(**anew)
    _record(Act.WEBHOOK_CHANGED, delivery.webhook, by, what="resend", delivery=delivery.pk)
    transaction.on_commit(start_due, robust=True)


def _must_work(webhook: Webhook) -> None:
    if not Webhook.objects.working().filter(pk=webhook.pk).exists():
        raise WebhookError(_("The webhook is off: turn it on first."))


def _record(act: Act, webhook: Webhook, by: User | None, **facts: str | int | None) -> AuditEntry:
    return record_act(act, by, project=webhook.project_id, about=webhook.pk, **facts)
