"""Telling webhooks: in the act's transaction, signed, again until it is taken, once however many work on it."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from tests.factories import a_project, again, some_labels, some_tasks
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.audit.records import record_act
from webapp.jobs.execution import claim, execute
from webapp.jobs.models import Job
from webapp.webhooks import deliveries, milestones
from webapp.webhooks.deliveries import AGAIN, EVENTS, deliver, forget_deliveries, start_due
from webapp.webhooks.models import Delivery, Webhook
from webapp.webhooks.services import make_webhook, send_again, try_webhook, turn_off, turn_on
from webapp.webhooks.tend import DUTIES

pytestmark = pytest.mark.django_db


def end_a_run(project, number=5):
    return record_act(Act.RUN_ENDED, None, project=project.pk, about=number, state="failed")


def work():
    """What tend and the worker of jobs do."""
    started = start_due()
    for key in Job.objects.claimable().values_list("pk", flat=True):
        execute(claim(key))
    return started


def let_time_pass(**columns):
    """As if all that waits had waited long enough."""
    Delivery.objects.update(due_at=Now() - timedelta(seconds=1))
    if columns:
        Webhook.objects.update(**columns)


def test_an_act_is_told_signed_as_the_scheme_says(project, made, listener):
    webhook, secret = made
    entry = end_a_run(project)
    assert work() == 1
    ((path, headers, body),) = listener.heard
    told = json.loads(body)
    assert (path, told["type"], told["data"]["id"]) == ("/hook?x=1", "run.ended", entry.pk)
    assert (
        told["data"] | {"project": project.pk, "number": 5, "facts": {"state": "failed"}}
        == told["data"]
    )
    name, at = headers["webhook-id"], headers["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{at}.{body.decode()}".encode(), hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert abs(int(at) - time.time()) < 60
    told = webhook.deliveries.get()
    assert (told.state, told.attempts, told.code) == ("delivered", 1, 204)
    assert work() == 0


def test_only_what_was_asked_for_is_told_and_only_of_its_project(project, webhook, listener):
    record_act(Act.SNAPSHOT_FROZEN, None, project=project.pk)
    end_a_run(a_project())
    record_act(Act.RUN_ENDED, None)
    turn_off(webhook, by=None)
    end_a_run(project)
    assert not Delivery.objects.exists()


def test_what_is_not_taken_is_sent_again_under_its_name(project, webhook, listener):
    end_a_run(project)
    listener.status = 500
    work()
    told = webhook.deliveries.get()
    assert (told.state, told.attempts, told.code) == ("waiting", 1, 500)
    assert told.again_at > told.tried_at
    assert again(webhook).failing_since
    assert work() == 0  # not yet
    let_time_pass()
    listener.status = 200
    assert work() == 1
    first, second = (headers["webhook-id"] for _path, headers, _body in listener.heard)
    assert first == second
    assert again(told).state == "delivered"
    assert again(webhook).failing_since is None


def test_after_so_many_attempts_it_is_given_up_and_can_be_sent_again(project, webhook, listener):
    end_a_run(project)
    listener.status = 500
    for _ in range(len(AGAIN) + 1):
        let_time_pass()
        work()
    told = webhook.deliveries.get()
    assert (told.state, told.attempts) == ("failed", len(AGAIN) + 1)
    let_time_pass()
    assert work() == 0
    listener.status = 200
    send_again(told, by=None)
    work()
    assert again(told).state == "delivered"


def test_who_is_not_reached_rests_with_all_that_waits(project, webhook):
    Webhook.objects.update(url="http://127.0.0.1:9/")  # where nobody listens
    for number in range(3):
        end_a_run(project, number)
    work()
    first, *others = webhook.deliveries.order_by("pk")
    assert (first.attempts, first.code) == (1, None)
    assert "The connection failed" in first.message
    assert [one.attempts for one in others] == [0, 0]
    assert work() == 0


def test_a_killed_worker_loses_nothing(project, webhook, listener):
    entry = end_a_run(project)
    start_due()
    job = claim(Job.objects.get().pk)
    next(deliver(job))
    assert deliveries._take(webhook.deliveries.get())  # and then it was killed
    assert start_due() == 0
    Job.objects.update(state="failed")
    assert start_due() == 0  # the attempt may still be under way
    let_time_pass()
    assert work() == 1
    assert [json.loads(body)["data"]["id"] for *_rest, body in listener.heard] == [entry.pk]


def test_two_at_work_tell_it_once(project, webhook, listener):
    end_a_run(project)
    start_due()
    job = Job.objects.get()
    first, second = deliver(job), deliver(job)
    next(first), next(second)
    for steps in (first, second):
        with pytest.raises(StopIteration):
            next(steps)
    assert len(listener.heard) == 1


def test_one_that_fails_for_five_days_is_disabled_and_said_so(project, webhook, listener):
    end_a_run(project)
    listener.status = 500
    let_time_pass(failing_since=Now() - timedelta(days=4))
    work()
    assert again(webhook).disabled_at is None
    let_time_pass(failing_since=Now() - timedelta(days=6))
    work()
    off = again(webhook)
    assert off.disabled_at
    assert off.why == deliveries.SILENT
    entry = AuditEntry.objects.get(act=Act.WEBHOOK_CHANGED)
    assert (entry.number, entry.who, entry.facts["what"]) == (webhook.pk, "attune", "disabled")
    let_time_pass()
    assert work() == 0
    listener.status = 200
    turn_on(webhook, by=None)
    assert work() == 1
    assert again(webhook).why == ""
    assert webhook.deliveries.get().state == "delivered"


def test_one_that_says_it_is_gone_is_disabled_at_once(project, webhook, listener):
    listener.status = 410
    end_a_run(project)
    end_a_run(project)
    work()
    assert again(webhook).why == deliveries.LEFT
    assert len(listener.heard) == 1


def test_a_test_goes_the_same_way(
    project, webhook, listener, settings, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        try_webhook(webhook, by=None)
    assert Job.objects.get().kind == "webhook"
    work()
    assert json.loads(listener.heard[0][2])["type"] == "webhook.tested"
    settings.WEBHOOK_NETWORKS = ()
    try_webhook(webhook, by=None)
    work()
    assert "private network" in webhook.deliveries.last().message
    assert len(listener.heard) == 1


def test_jobs_that_tell_are_not_told_of(project, listener, admin):
    make_webhook(project, url=listener.url, acts=[Act.JOB_ENDED], by=admin)
    record_act(Act.JOB_ENDED, None, project=project.pk, kind="export", state="done")
    work()
    assert work() == 0
    assert len(listener.heard) == 1
    assert not AuditEntry.objects.filter(thing="job", number=Job.objects.get().pk).exists()


def test_a_webhook_that_was_removed_meanwhile_hurts_no_job(project, webhook, listener):
    end_a_run(project)
    start_due()
    webhook.delete()
    execute(claim(Job.objects.get().pk))
    assert Job.objects.get().state == "done"


def test_what_was_told_a_month_ago_is_dropped(project, webhook, listener):
    end_a_run(project)
    work()
    waiting = deliveries.queue_delivery(webhook, record_act(Act.RUN_ENDED, None, project=None))
    assert forget_deliveries() == 0
    Delivery.objects.update(created_at=F("created_at") - timedelta(days=31))
    assert forget_deliveries() == 1
    assert webhook.deliveries.get() == waiting


def test_numbers_of_labels_are_told_once(project, admin, listener, monkeypatch):
    monkeypatch.setattr(milestones, "milestones", lambda: iter((3, 5, 99)))
    some_labels(some_tasks(project, 2))
    assert milestones.tell_milestones() == 0  # nobody asks
    make_webhook(project, url=listener.url, acts=[Act.LABELS_REACHED], by=admin)
    assert milestones.tell_milestones() == 0  # it is counted from here on
    assert milestones.tell_milestones() == 0
    some_labels(some_tasks(project, 3))
    assert milestones.tell_milestones() == 2
    some_labels(some_tasks(project, 1))
    assert milestones.tell_milestones() == 0
    work()
    assert [json.loads(body)["data"]["facts"] for *_rest, body in listener.heard] == [
        {"labels": 3}, {"labels": 5},
    ]  # fmt: skip


def test_milestones_are_round():
    found = milestones.milestones()
    assert [next(found) for _ in range(5)] == [100, 200, 500, 1000, 2000]


def test_what_can_be_told_of_happens_in_projects_and_tend_does_its_part():
    assert all(act.partition(".")[0] != "webhook" for act in EVENTS)
    assert start_due in DUTIES
