"""Runs by real programs: broker, Celery workers, tend, a stand-in for the trainer; and their deaths."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from tests.factories import a_project, a_run, a_user, again
from tests.stand_in import DIE, DIE_LATER, FINISH, MEASURE, SLOW, WAIT
from webapp.runs.models import Worker
from webapp.runs.services import cancel_run, pause_run, resume_run
from webapp.runs.tasks import send_ring

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


@pytest.fixture
def machine(shared):
    """Broker, worker and tend, with the stand-in trainer."""
    return shared.stand_in().only("broker", "worker", "tend")


@pytest.fixture
def lab(transactional_db):
    return a_project()


def in_state(run, *states):
    return lambda: again(run).state in states


def trainer_of(run):
    """The process id of a run's trainer, which has its folder as its argument; not its guard's."""
    command = f"^[^ ]+ -I [^ ]+stand_in.py {settings.STORE}/runs/{run.pk}/"
    listed = subprocess.run(["pgrep", "-f", command], capture_output=True)
    return [int(pid) for pid in listed.stdout.split()]


def test_a_started_run_is_rung_for_executed_and_published(machine, lab):
    run = a_run(lab, seed=FINISH)
    machine.until(in_state(run, "succeeded"))
    assert run.outputs.get().path.is_dir()


def test_a_phase_that_lasts_is_shown_with_what_is_left_of_it(machine, lab, client):
    run = a_run(lab, seed=MEASURE)
    machine.until(lambda: again(run).phase_done)
    client.force_login(a_user(lab))
    page = client.get(reverse("runs:detail", args=[lab.pk, run.pk])).content.decode()
    for words in ("measuring the result", "64 of 256 completions", "about 30 s left"):
        assert words in page
    cancel_run(run, by=a_user())
    machine.until(in_state(run, "cancelled"))


@pytest.mark.slow
@pytest.mark.once
def test_a_duplicate_ring_does_nothing(machine, lab):
    run = a_run(lab, seed=FINISH)
    machine.until(in_state(run, "succeeded"))
    for _ in range(3):
        send_ring("runs")
    last = a_run(lab, seed=FINISH)
    machine.until(in_state(last, "succeeded"))
    assert (again(run).epoch, run.outputs.count()) == (1, 1)


@pytest.mark.once
def test_cancel_while_running_ends_cancelled(machine, lab):
    run = a_run(lab, seed=WAIT)
    machine.until(in_state(run, "running"))
    cancel_run(run, by=a_user())
    machine.until(in_state(run, "cancelled"))
    assert (trainer_of(run), run.outputs.count()) == ([], 0)


@pytest.mark.slow
@pytest.mark.once
def test_a_paused_run_goes_on_where_it_was_saved(machine, lab, models):
    run = a_run(lab, "align", seed=SLOW, inputs=models)
    machine.until(lambda: again(run).step >= 2)
    pause_run(run, by=(rita := a_user()))
    machine.until(in_state(run, "interrupted"))
    saved = again(run).resume_from
    resume_run(run, by=rita)
    machine.until(in_state(run, "succeeded"))
    assert set(run.metrics.filter(epoch=2).values_list("step", flat=True)) == set(
        range(saved.step + 1, 11)
    )


def test_a_killed_trainer_is_lost_and_its_run_queued_again(machine, lab):
    run = a_run(lab, seed=WAIT)
    machine.until(in_state(run, "running"))
    os.kill(trainer_of(run)[0], signal.SIGKILL)
    machine.until(lambda: again(run).epoch == 2)
    assert run.events.filter(to_state="interrupted").get().reason == "trainer_lost"


@pytest.mark.slow
@pytest.mark.once
def test_what_keeps_dying_stops_after_three_attempts(machine, lab):
    run = a_run(lab, seed=DIE)
    machine.until(in_state(run, "failed"))
    run = again(run)
    assert (run.reason, run.epoch) == ("poison", 3)
    assert "at step 1, 1, 1" in run.message


@pytest.mark.slow
@pytest.mark.once
def test_progress_between_deaths_is_not_poison(machine, lab):
    run = a_run(lab, seed=DIE_LATER)
    machine.until(in_state(run, "failed", "succeeded"))
    assert again(run).epoch == 4  # the first made a checkpoint; then three without a new one


def test_a_dead_workers_run_is_finished_by_another(machine, lab):
    run = a_run(lab, seed=SLOW)
    machine.until(lambda: run.checkpoints.exists())
    machine.kill("worker").until(lambda: not trainer_of(run))
    machine.worker().until(in_state(run, "succeeded"))
    steps = list(run.metrics.filter(key="loss").order_by("step").values_list("step", flat=True))
    assert sorted(set(steps)) == list(range(1, 11))
    assert again(run).epoch == 2


@pytest.mark.slow
def test_a_shut_down_worker_hands_its_run_over_at_once(machine, lab):
    run = a_run(lab, seed=WAIT)
    machine.kill("tend").until(in_state(run, "running"))
    machine.terminate("worker")
    assert (again(run).state, again(run).reason) == ("interrupted", "shutdown")
    machine.worker().tend().until(lambda: again(run).epoch == 2)
    assert again(run).attempts == 1


@pytest.mark.slow
@pytest.mark.once
def test_a_worker_that_left_leaves_no_row(machine):
    machine.until(Worker.objects.exists)
    machine.terminate("worker")
    assert not Worker.objects.exists()


@pytest.mark.slow
@pytest.mark.once
def test_a_run_started_without_a_broker_waits_for_tend(machine, lab):
    machine.kill("tend").kill("broker")
    run = a_run(lab, seed=FINISH)
    assert again(run).state == "queued"
    machine.broker().tend().until(in_state(run, "succeeded"))


@pytest.mark.slow
@pytest.mark.once
def test_a_broker_that_lost_everything_loses_nothing(machine, lab):
    first = a_run(lab, seed=WAIT)
    machine.until(in_state(first, "running"))
    waiting = [a_run(lab, seed=FINISH) for _ in range(3)]
    machine.kill("broker")
    machine.broker()
    cancel_run(first, by=a_user())
    for run in waiting:
        machine.until(in_state(run, "succeeded"))


@pytest.mark.slow
def test_an_idle_worker_takes_the_run_that_a_busy_one_leaves(machine, lab):
    first = a_run(lab, seed=WAIT)
    machine.until(in_state(first, "running"))
    second = a_run(lab, seed=FINISH)
    machine.worker("second").until(in_state(second, "succeeded"))
    assert again(first).worker != again(second).worker


def test_a_chain_runs_in_order_and_ends_with_its_first_failure(machine, lab):
    first = a_run(lab, seed=3)
    second = a_run(lab, needs={"after": first})
    third = a_run(lab, needs={"after": second})
    machine.until(in_state(third, "cancelled"))
    assert (again(second).reason, again(first).state) == ("upstream", "failed")
    assert first.name in again(second).message


@pytest.mark.slow
@pytest.mark.once
def test_the_trainer_knows_no_secrets(machine, lab, monkeypatch):
    run = a_run(lab, seed=WAIT)
    machine.until(in_state(run, "running"))
    entries = Path(f"/proc/{trainer_of(run)[0]}/environ").read_bytes().split(b"\0")
    names = {entry.split(b"=")[0] for entry in entries}
    assert not names & {b"DATABASE_URL", b"REDIS_URL", b"ATTUNE_SECRET_KEY"}
    assert b"HF_HUB_OFFLINE" in names
