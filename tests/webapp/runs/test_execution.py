"""From claimed to settled, with a stand-in for the trainer (tests/stand_in.py)."""

import multiprocessing
import threading
from errno import ENOSPC
from itertools import pairwise

import pytest
from django.db import connection
from django.db.models import F

from alignment.seam.events import (
    Checked,
    Finished,
    Fitted,
    PhaseProgressed,
    PhaseStarted,
    SampleDrawn,
    StepDone,
)
from alignment.seam.folders import committed
from alignment.seam.records import Receipts
from tests.factories import a_project, a_run, a_worker, again, run_at
from tests.stand_in import DIE, FAIL, FINISH, SILENT
from webapp.queue.leases import LostLease
from webapp.runs import execution, supervisor
from webapp.runs.errors import RunError
from webapp.runs.folders import folder_of, prepare
from webapp.runs.models import Run, RunMetric, RunSpool
from webapp.runs.services import retry_run
from webapp.runs.spool import Batch
from webapp.runs.supervisor import Outcome

FORK = multiprocessing.get_context("fork")
CHECKED = Checked(receipts=Receipts(gradient=1e-15, total=0))
SAMPLE = SampleDrawn(step=3, stage="after", prompt_key="k", prompt="Hi?", completion="Ho.")
STEP = Batch(0, 10, (StepDone(step=3, total=10, metrics={"loss": 0.5}), SAMPLE))


@pytest.fixture
def claimed(project):
    a_run(project)
    return execution.claim("runs", a_worker())


def executed(project, seed):
    run = a_run(project, seed=seed)
    execution.execute(execution.claim("runs", a_worker()))
    return again(run)


def history(run):
    return list(run.events.values_list("from_state", "to_state"))


def test_a_finished_run_has_gone_through_its_states_in_order(project, stand_in):
    run = executed(project, FINISH)
    states = ["", "queued", "starting", "running", "succeeded"]
    assert history(run) == list(pairwise(states))


def test_a_succeeded_run_publishes_what_it_made(project, stand_in):
    run = executed(project, FINISH)
    artifact = run.outputs.get()
    assert (artifact.type, artifact.summary) == ("model", {"loss": 0.5})
    assert (artifact.path / "model.json").exists()


def test_receipts_are_stored_before_the_run_ends(claimed):
    execution.record(claimed, Batch(0, 10, (CHECKED,)))
    assert again(claimed).summary["receipts"]["gradient"] == 1e-15


def test_rows_that_do_not_fit_are_told_before_the_run_ends(claimed):
    told = [
        Fitted(role=role, read=48, cut=0, dropped=dropped, limit="a context of 32 tokens")
        for role, dropped in (("prompts", 1), ("deployment", 0))
    ]
    for place, events in enumerate([told[:1], [*told[1:], CHECKED], told[:1]]):
        execution.record(claimed, Batch(10 * place, 10 * place + 10, tuple(events)))
    summary = again(claimed).summary
    assert summary["receipts"]["gradient"] == 1e-15
    assert sorted((row["role"], row["dropped"]) for row in summary["rows"]) == [
        ("deployment", 0),
        ("prompts", 1),
    ]


def test_metrics_are_complete_and_odd_numbers_become_null(project, stand_in):
    run = executed(project, FINISH)
    losses = run.metrics.filter(key="loss").order_by("step").values_list("step", "value")
    assert list(losses) == [(step, 1 / step) for step in range(1, 11)]
    assert set(run.metrics.filter(key="odd").values_list("value", flat=True)) == {None}


def test_a_trainer_that_fails_leaves_its_word_and_sentence(project, stand_in):
    run = executed(project, FAIL)
    assert (run.state, run.reason) == ("failed", "nan")
    assert "lower learning rate" in run.message


def test_a_trainer_that_ends_without_a_word_has_failed(project, stand_in):
    run = executed(project, SILENT)
    assert (run.state, run.reason) == ("failed", "code")


def test_a_killed_trainer_is_an_interruption_not_a_failure(project, stand_in):
    run = executed(project, DIE)
    assert (run.state, run.reason) == ("interrupted", "trainer_lost")


def test_a_claim_raises_the_epoch_and_the_attempts(claimed):
    assert (claimed.state, claimed.epoch, claimed.attempts) == ("starting", 1, 1)


def test_a_claimed_run_cannot_be_claimed_again(claimed):
    assert execution.claim("runs", a_worker()) is None


def test_the_smaller_priority_is_claimed_first(project):
    a_run(project, priority=5)
    urgent = a_run(project, priority=1)
    assert execution.claim("runs", a_worker()).pk == urgent.pk


def test_a_run_waits_for_what_it_needs(project):
    first = a_run(project)
    a_run(project, needs={"after": first}, priority=1)
    assert execution.claim("runs", a_worker()).pk == first.pk
    assert execution.claim("runs", a_worker()) is None


def test_a_batch_moves_the_run_on(claimed):
    execution.record(claimed, STEP)
    assert (again(claimed).step, RunMetric.objects.get().value) == (3, 0.5)


MEASURING = (
    PhaseStarted(name="measuring"),
    PhaseProgressed(done=1, total=4, unit="rows", seconds=5),
)


def test_a_phase_is_counted_until_the_next_one_begins(claimed):
    execution.record(claimed, Batch(0, 10, MEASURING))
    found = again(claimed)
    assert (found.phase_done, found.phase_total, found.phase_unit) == (1, 4, "rows")
    assert found.phase_left == pytest.approx(15)
    execution.record(claimed, Batch(10, 20, MEASURING[:1]))
    assert not again(claimed).is_counted


def test_a_run_that_is_claimed_again_is_in_no_phase_yet(claimed):
    execution.record(claimed, Batch(0, 10, MEASURING))
    run_at(claimed, state="queued", worker=None)
    execution.claim("runs", a_worker())
    assert (again(claimed).phase, again(claimed).phase_total) == ("", 0)


def test_a_batch_that_was_stored_is_not_stored_twice(claimed):
    for _ in range(2):
        execution.record(claimed, STEP)
    assert RunSpool.objects.get().byte_offset == 10
    assert (RunMetric.objects.count(), claimed.samples.count()) == (1, 1)


def test_a_worker_past_its_epoch_writes_nothing(claimed):
    Run.objects.filter(pk=claimed.pk).update(epoch=F("epoch") + 1)
    with pytest.raises(LostLease):
        execution.record(claimed, STEP)
    assert not RunMetric.objects.exists()
    assert again(claimed).step == 0


def test_a_worker_past_its_epoch_settles_nothing(claimed, stand_in, var):
    run_at(claimed, epoch=2)
    execution.execute(claimed)
    assert (again(claimed).state, claimed.outputs.count()) == ("starting", 0)


def test_a_finished_zombie_publishes_nothing(claimed, stand_in):
    folder = folder_of(claimed)
    with committed(folder / "output") as aside:
        (aside / "model.json").write_text("{}")
    run_at(claimed, epoch=2)
    outcome = Outcome(0, Finished(summary={}), "", forced=False)
    with pytest.raises(LostLease):
        execution.finish(claimed, outcome)
    assert (again(claimed).state, claimed.outputs.count()) == ("starting", 0)


def test_a_damaged_output_is_not_published(claimed, stand_in):
    folder = folder_of(claimed)
    with committed(folder / "output") as aside:
        (aside / "model.json").write_text("{}")
    (folder / "output" / "model.json").write_text("[]")
    execution.finish(claimed, Outcome(0, Finished(summary={}), "", forced=False))
    assert (again(claimed).reason, claimed.outputs.count()) == ("checkpoint", 0)


def test_a_full_disk_interrupts_and_a_bug_is_raised():
    verdict = execution._excuse(OSError(ENOSPC, "No space left on device"))
    assert (verdict.to, verdict.reason) == ("interrupted", "disk_full")
    with pytest.raises(PermissionError):
        execution._excuse(PermissionError())


def test_settings_of_another_version_are_refused_once_and_by_name(project, models, stand_in):
    run = a_run(project, "align", inputs=models)
    Run.objects.filter(pk=run.pk).update(config=run.config | {"gone": 1})
    execution.execute(execution.claim(run.queue, a_worker()))
    assert (again(run).state, again(run).attempts) == ("failed", 1)
    assert "another version of Attune, whose settings differ (gone)" in again(run).message
    with pytest.raises(RunError, match="start a new one"):
        retry_run(again(run), by=None)


def test_a_shutdown_saves_what_can_be_saved(project, models):
    draining = execution.Wanted("run", draining=True)
    runs = [a_run(project, "align", inputs=models), a_run(project)]
    assert [execution.wish(run, draining, shutdown=False) for run in runs] == ["save", "now"]


def race(worker, start, won):
    """Claim until nothing is left; what was won."""
    start.wait()
    while (run := execution.claim("runs", worker)) is not None:
        won.put(run.pk)
    connection.close()
    won.put(None)


@pytest.mark.django_db(transaction=True)
def test_eight_racing_processes_win_each_claim_once():
    project, racers = a_project(), FORK.Barrier(8)
    runs = [a_run(project) for _ in range(20)]
    won, workers = FORK.SimpleQueue(), [a_worker() for _ in range(8)]
    connection.close()  # not shared with the forks
    for worker in workers:
        FORK.Process(target=race, args=(worker, racers, won)).start()
    said = [won.get() for _ in range(20 + 8)]
    assert sorted(pk for pk in said if pk) == [run.pk for run in runs]


def take_the_database_away():
    """Lock the file for half a second, or end our connection to the server."""
    other = connection.copy()
    other.inc_thread_sharing()
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA busy_timeout = 100")
        other.cursor().execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, other.close).start()
    else:
        pid = connection.connection.info.backend_pid
        other.cursor().execute("SELECT pg_terminate_backend(%s)", [pid])
        other.close()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_waited_for(claimed, stand_in):
    with supervisor.launch(prepare(claimed)) as trainer:
        take_the_database_away()
        execution._stored(trainer, lambda: execution.record(claimed, STEP))
    assert again(claimed).step == 3
