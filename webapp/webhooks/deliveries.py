"""Telling webhooks of acts: a row each in the act's own transaction, sent by a job, tried again for a day and a half."""

import json
import time
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils.translation import gettext_noop as _

from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.audit.records import record_act
from webapp.jobs.models import Job
from webapp.jobs.services import start_job
from webapp.jobs.work import Finish, Work
from webapp.site.clock import after
from webapp.webhooks.errors import WebhookError
from webapp.webhooks.models import Delivery, Webhook
from webapp.webhooks.sending import post
from webapp.webhooks.signatures import signature_of

# What a webhook may be told of.
EVENTS = (
    Act.RUN_STARTED, Act.RUN_ENDED, Act.ROUND_STARTED, Act.ROUND_ENDED, Act.SWEEP_STARTED, Act.SWEEP_ENDED,
    Act.JOB_ENDED, Act.SNAPSHOT_FROZEN, Act.LABELS_REACHED, Act.TASKS_MADE, Act.PROMPT_WRITTEN, Act.MEMBER_ADDED,
    Act.MEMBER_REMOVED,
)  # fmt: skip
HELD = 60.0  # s that an attempt keeps a delivery: whoever dies over it has lost it then
PAUSE = 60.0  # s that a webhook rests that could not be reached at all
AGAIN = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)  # s between an attempt and the next
AT_ONCE = 50  # deliveries of one job
KEPT = timedelta(days=30)
PATIENCE = timedelta(days=5)  # that a webhook may fail before it is disabled
GONE = 410  # what says that nobody will ever be there again
SILENT = _("It has taken nothing for five days.")
LEFT = _("It says that nobody is there any more (410).")


def follow_act(entry: AuditEntry) -> None:
    """Let the project's webhooks be told that want to know of such acts; called in the act's transaction."""
    if entry.project_id is None or entry.act not in EVENTS:
        return
    for webhook in Webhook.objects.working().filter(project=entry.project_id):
        if entry.act in webhook.acts:
            queue_delivery(webhook, entry)


def queue_delivery(webhook: Webhook, entry: AuditEntry) -> Delivery:
    """Have an act told to one webhook; nothing but this row is held until the act is stored."""
    made = Delivery.objects.create(webhook=webhook, entry=entry)
    transaction.on_commit(partial(start_due, webhook.pk), robust=True)
    return made


def start_due(only: int | None = None) -> int:
    """Start a job for each webhook, or for one, for which something waits and none is at work; how many.

    A duty of `tend`, which finds what came too late for a job, or was left by a program that was killed.
    """
    due = Webhook.objects.due().select_related("project")
    found = list(due.filter(pk=only) if only else due)
    for webhook in found:
        _start_job(webhook)
    return len(found)


@transaction.atomic
def _start_job(webhook: Webhook) -> None:
    key = f"webhook-{webhook.pk}-{webhook.job_id or 0}"  # two who see no job at work start one
    payload = {"webhook": webhook.pk}
    job = start_job(webhook.project, kind="webhook", payload=payload, key=key)
    Webhook.objects.filter(pk=webhook.pk).update(job=job)


def forget_deliveries() -> int:
    """Drop what was told, or given up, a month ago; how many."""
    old = Delivery.objects.filter(created_at__lt=Now() - KEPT, state__in=Delivery.FINAL_STATES)
    return old.delete()[0]


def deliver(job: Job) -> Work:
    """The work of the job: send what is due, in its order; where nobody is reached, the rest waits a minute."""
    webhook = Webhook.objects.filter(pk=job.payload["webhook"]).first()
    due = list(_due_of(webhook)[:AT_ONCE]) if webhook else []
    for number, delivery in enumerate(due):
        yield number, len(due)
        if webhook is None or not _take(delivery):
            continue
        if _attempt(webhook, delivery) is None:
            _rest(webhook)
            break
    return _finish(len(due))


def _finish(number: int) -> Finish:
    return lambda: {"deliveries": number}


def _due_of(webhook: Webhook) -> "QuerySet[Delivery]":
    ours = Delivery.objects.due().filter(webhook=webhook, webhook__disabled_at__isnull=True)
    return ours.select_related("entry__person").order_by("pk")


def _take(delivery: Delivery) -> bool:
    """Make it this job's for a while; whether nobody else has."""
    free = Delivery.objects.due().filter(pk=delivery.pk, attempts=delivery.attempts)
    working = free.filter(webhook__in=Webhook.objects.working())
    held = {"attempts": F("attempts") + 1, "due_at": after(HELD), "tried_at": Now()}
    return bool(working.update(**held))


def _rest(webhook: Webhook) -> None:
    waiting = Delivery.objects.filter(webhook=webhook, state=Delivery.State.WAITING)
    waiting.update(due_at=Greatest(F("due_at"), after(PAUSE)))


def _attempt(webhook: Webhook, delivery: Delivery) -> int | None:
    """Send it and keep what came of it: the answer's status, None where nobody was reached."""
    body = body_of(delivery.entry)
    code, message = None, ""
    try:
        code = post(webhook.url, body, headers_of(webhook, delivery, body))
    except WebhookError as error:
        message = str(error)
    _keep(delivery, code, message)
    _judge(webhook, code)
    return code


def body_of(entry: AuditEntry) -> bytes:
    """What a webhook is told of an act: as the log has it."""
    data = {
        "id": entry.pk,
        "project": entry.project_id,
        "person": entry.person.shown_name if entry.person else None,
        "via": entry.via,
        "thing": entry.thing,
        "number": entry.number,
        "facts": entry.facts,
    }
    said = {"type": entry.act, "timestamp": entry.created_at.isoformat(), "data": data}
    return json.dumps(said, ensure_ascii=False).encode()


def headers_of(webhook: Webhook, delivery: Delivery, body: bytes) -> dict[str, str]:
    """Its name, which is the same at each attempt, the time, and what proves both."""
    name, now = f"msg_{settings.INSTALLATION}_{delivery.pk}", int(time.time())
    return {
        "Content-Type": "application/json",
        "User-Agent": "Attune",
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": signature_of(webhook.salt, name, now, body),
    }


def is_taken(code: int | None) -> bool:
    """Whether a receiver with this answer has what it was told."""
    return code is not None and 200 <= code < 300


def _keep(delivery: Delivery, code: int | None, message: str) -> None:
    attempts = delivery.attempts + 1
    columns: dict[str, Any] = {"code": code, "message": message[:200]}
    if is_taken(code):
        columns["state"] = Delivery.State.DELIVERED
    elif attempts > len(AGAIN):
        columns["state"] = Delivery.State.FAILED
    else:
        columns["due_at"] = after(AGAIN[attempts - 1])
    Delivery.objects.filter(pk=delivery.pk, attempts=attempts).update(**columns)


def _judge(webhook: Webhook, code: int | None) -> None:
    """Note that it works, or since when it does not; disable it once that is too long."""
    mine = Webhook.objects.filter(pk=webhook.pk)
    if is_taken(code):
        mine.exclude(failing_since=None).update(failing_since=None)
        return
    mine.update(failing_since=Coalesce("failing_since", Now()))
    if code == GONE:
        disable(webhook, LEFT)
    elif mine.filter(failing_since__lt=Now() - PATIENCE).exists():
        disable(webhook, SILENT)


@transaction.atomic
def disable(webhook: Webhook, why: str) -> None:
    """Tell it nothing more, and say why."""
    working = Webhook.objects.working().filter(pk=webhook.pk)
    if working.update(disabled_at=Now(), why=why):
        said = {"what": "disabled", "why": why}
        record_act(Act.WEBHOOK_CHANGED, None, project=webhook.project_id, about=webhook.pk, **said)
