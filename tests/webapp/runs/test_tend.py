"""What the janitor does, turn by turn."""

import pytest
from django.core.management import call_command

from tests.factories import a_run, a_worker, again, run_at
from webapp.runs import recovery, tend
from webapp.runs.models import RunEvent, State, Worker
from webapp.site.clock import after


@pytest.fixture
def expired(project):
    """A running run whose worker went silent."""
    run = a_run(project)
    return run_at(run, state="running", epoch=1, attempts=1, lease_until=after(-1), step=4)


def interrupted(project, reason="trainer_lost", **columns):
    return run_at(a_run(project), state="interrupted", reason=reason, **columns)


def test_a_run_whose_lease_ran_out_is_interrupted(expired):
    assert tend.reap() == 1
    expired = again(expired)
    assert (expired.state, expired.reason, expired.lease_until) == (
        "interrupted",
        "worker_lost",
        None,
    )


def test_a_run_with_a_lease_is_left_alone(expired):
    run_at(expired, lease_until=after(60))
    assert tend.reap() == 0


@pytest.mark.parametrize(
    ("intent", "state", "reason"),
    [("cancel", "cancelled", "cancelled"), ("pause", "interrupted", "pause_save_failed")],
)
def test_a_stopping_run_without_a_worker_gets_what_was_asked(expired, intent, state, reason):
    run_at(expired, state="stopping", intent=intent)
    tend.reap()
    assert (again(expired).state, again(expired).reason) == (state, reason)


@pytest.mark.parametrize("reason", ["worker_lost", "trainer_lost", "shutdown"])
def test_what_was_lost_is_queued_again(project, reason):
    run = interrupted(project, reason, attempts=1)
    tend.requeue()
    assert again(run).state == "queued"


@pytest.mark.parametrize("reason", ["paused", "pause_save_failed"])
def test_what_a_person_paused_stays_paused(project, reason):
    run = interrupted(project, reason)
    tend.requeue()
    assert again(run).state == "interrupted"


def test_each_attempt_but_the_first_waits_longer(settings):
    settings.RUN_BACKOFF = 30
    assert [recovery.backoff(attempts) for attempts in (0, 1, 2, 3)] == [0, 0, 30, 90]


def test_a_queued_again_run_waits_before_it_is_claimable(project, settings):
    settings.RUN_BACKOFF = 30
    run = interrupted(project, attempts=2)
    tend.requeue()
    assert not type(run).objects.claimable("runs").exists()


def test_poison_names_the_steps_it_died_at(project):
    run = interrupted(project, attempts=3)
    for step in (5, 15, 15, 16):
        RunEvent.objects.create(
            run=run, epoch=1, step=step, to_state="interrupted", reason="trainer_lost"
        )
    tend.requeue()
    assert (again(run).state, again(run).reason) == ("failed", "poison")
    assert "at step 15, 15, 16" in again(run).message


def test_a_full_disk_waits_for_space(project, settings):
    settings.STORE.mkdir(parents=True)
    run = interrupted(project, "disk_full")
    settings.DISK_RESERVE_GIB = 1 << 30
    tend.requeue()
    assert again(run).state == "interrupted"
    settings.DISK_RESERVE_GIB = 0
    tend.requeue()
    assert again(run).state == "queued"


@pytest.mark.parametrize(("state", "word"), [("failed", "failed"), ("cancelled", "was cancelled")])
def test_what_can_no_longer_start_is_cancelled_by_name(project, state, word):
    first = a_run(project)
    second = a_run(project, needs={"after": first})
    run_at(first, state=state)
    tend.cancel_stranded()
    assert again(second).state == "cancelled"
    assert again(second).message == f"It needed “{first.name}”, which {word}."


def test_what_may_still_start_is_left_waiting(project):
    first = a_run(project)
    second = a_run(project, needs={"after": first})
    run_at(first, state="interrupted")
    assert tend.cancel_stranded() == 0
    assert again(second).state == "queued"


def test_workers_unseen_for_a_day_are_forgotten(project):
    a_worker(last_seen=after(-90_000))
    kept = a_worker(last_seen=after(-80_000))
    tend.forget_workers()
    assert Worker.objects.get() == kept


def test_an_empty_queue_is_not_rung(project, expired):
    assert tend.ring_queues() == 0


def test_a_broker_that_is_away_is_survived(project):
    run = a_run(project)
    assert tend.ring_queues() == 0  # the bell was tried and did not sound
    assert again(run).rung_at is not None


def test_one_turn_does_every_duty(expired):
    call_command("tend", once=True)
    assert again(expired).state == State.QUEUED  # reaped, then queued again
