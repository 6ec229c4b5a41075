"""Work changes hands: of jobs and of runs alike."""

import pytest
from django.db.models import F

from tests.factories import a_run, again
from webapp.jobs.models import Job
from webapp.queue.leases import LostLease
from webapp.site.clock import after


def a_job(project):
    return again(Job.objects.create(project=project, kind="preview", key="k"))


@pytest.fixture(params=[a_job, a_run])
def work(request, project):
    """Something queued."""
    return request.param(project)


def put(work, **columns):
    rows = type(work).objects
    rows.filter(pk=work.pk).update(**columns)
    return rows


def take(work):
    """The work as somebody has it who asked for it."""
    waiting = type(work).objects.filter(state="queued")
    raised = {work.FENCE: F(work.FENCE) + 1} if work.FENCE != "attempts" else {}
    return waiting.take(work.pk, state=work.LIVE_STATES[0], **raised)


def test_only_the_first_who_asks_gets_it(work):
    taken = take(work)
    assert (taken.attempts, taken.is_live, taken.message) == (1, True, "")
    assert taken.started_at <= taken.lease_until
    assert take(work) is None


def test_another_attempt_began_when_the_first_did(work):
    first = take(work)
    put(work, state="queued")
    second = take(work)
    assert (second.attempts, second.started_at) == (2, first.started_at)


def test_what_was_lost_too_often_is_not_tried_again(work):
    rows = put(work, attempts=2)
    assert rows.untired().exists()
    put(work, attempts=3)
    assert not rows.untired().exists()


def test_a_lease_that_is_not_renewed_runs_out_and_one_that_is_does_not(work):
    taken = take(work)
    rows = put(work, lease_until=after(-1))
    assert rows.silent().get() == work
    rows.renew(taken, message="still here")
    assert not rows.silent().exists()
    assert again(work).message == "still here"


def test_what_nobody_has_is_not_silent(work):
    assert not put(work, lease_until=after(-1)).silent().exists()


def test_whoever_lost_it_writes_nothing_about_it(work):
    first = take(work)
    rows = put(work, state="queued")
    take(work)
    with pytest.raises(LostLease):
        rows.renew(first, message="late")
    assert again(work).message == ""


def test_nobody_writes_about_what_is_over(work):
    taken = take(work)
    rows = put(work, state=work.FINAL_STATES[0])
    assert again(work).is_final
    with pytest.raises(LostLease):
        rows.renew(taken)


def test_of_several_tenders_one_rings(work, settings):
    rows = put(work)
    assert (rows.ring_due(), rows.ring_due()) == (True, False)
    put(work, rung_at=after(-settings.RUN_RING))
    assert rows.ring_due()
