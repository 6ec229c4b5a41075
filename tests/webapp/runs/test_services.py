"""What people may do to runs, and when not."""

import pytest

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.pretrain.settings import PretrainConfig
from tests.factories import a_project, a_run, a_user, again, an_artifact, run_at
from webapp.runs.errors import RunError
from webapp.runs.models import Run
from webapp.runs.services import Order, cancel_run, pause_run, resume_run, retry_run, start_run


@pytest.fixture
def run(project):
    return a_run(project)


def test_the_same_key_is_the_same_run(project):
    runs = {a_run(project, key="once").pk for _ in range(2)}
    assert Run.objects.get().pk in runs
    assert len(runs) == 1


def test_a_started_run_remembers_how_it_was_started(project, researcher):
    run = a_run(project, config={"steps": 7}, seed=3, created_by=researcher)
    assert (run.config["steps"], run.seed, run.state) == (7, 3, "queued")
    assert (len(run.config_hash), len(run.code_version)) == (64, 16)
    assert run.events.get().actor == "rita"


def test_equal_settings_have_equal_hashes(project):
    hashes = {a_run(project, config={"steps": steps}).config_hash for steps in (7, 7, 8)}
    assert len(hashes) == 2


def test_settings_of_another_kind_are_refused(project):
    with pytest.raises(RunError, match="objective"):
        start_run(project, Order(kind="pretrain", name="", config=AlignConfig(), key="k"))


def test_an_unknown_kind_is_refused(project):
    with pytest.raises(RunError, match="no kind"):
        start_run(project, Order(kind="dream", name="", config=PretrainConfig(), key="k"))


def test_a_run_must_be_told_what_it_reads(project):
    with pytest.raises(RunError, match="policy"):
        a_run(project, "align")


def test_another_projects_artifact_is_refused(project, tmp_path):
    foreign = an_artifact(a_project(), tmp_path)
    with pytest.raises(RunError, match="another project"):
        a_run(project, "generate", inputs={"policy": foreign})


def test_cancelling_a_queued_run_is_immediate(run, researcher):
    assert cancel_run(run, by=researcher).state == "cancelled"
    assert again(run).ended_at is not None


@pytest.mark.parametrize("state", ["starting", "running"])
def test_cancelling_a_live_run_asks_its_worker(run, researcher, state):
    run = cancel_run(run_at(run, state=state), by=researcher)
    assert (run.state, run.intent, run.shown_state) == ("stopping", "cancel", "cancelling")


def test_cancelling_twice_is_one_event(run, researcher):
    run_at(run, state="running")
    for _ in range(2):
        cancel_run(run, by=researcher)
    assert run.events.filter(to_state="stopping").count() == 1


def test_a_run_that_is_pausing_can_still_be_cancelled(run, researcher):
    run_at(run, state="stopping", intent="pause")
    assert cancel_run(run, by=researcher).intent == "cancel"


def test_what_is_over_cannot_be_cancelled(run, researcher):
    run_at(run, state="succeeded")
    with pytest.raises(RunError, match="succeeded"):
        cancel_run(run, by=researcher)


def test_pausing_a_queued_run_holds_it(run, researcher):
    assert pause_run(run, by=researcher).shown_state == "paused"


def test_pausing_a_live_run_asks_its_worker(project, researcher, models):
    run = run_at(a_run(project, "align", inputs=models), state="running")
    assert pause_run(run, by=researcher).shown_state == "pausing"


def test_a_run_that_cannot_save_is_not_paused(run, researcher):
    run_at(run, state="running")
    with pytest.raises(RunError, match="cannot save"):
        pause_run(run, by=researcher)


def test_resuming_queues_again_with_all_attempts(run, researcher):
    run_at(run, state="interrupted", reason="paused", attempts=2, intent="pause")
    run = resume_run(run, by=researcher)
    assert (run.state, run.attempts, run.intent) == ("queued", 0, "run")


def test_what_failed_is_not_resumed(run, researcher):
    run_at(run, state="failed")
    with pytest.raises(RunError, match="failed"):
        resume_run(run, by=researcher)


def test_a_retry_is_a_new_run_with_the_same_settings(project, researcher, models):
    run = run_at(a_run(project, "align", inputs=models, seed=5), state="failed")
    new = retry_run(run, by=researcher)
    assert (new.parent_id, new.config, new.seed, new.state) == (run.pk, run.config, 5, "queued")
    assert {row.role: row.artifact for row in new.inputs.all()} == models


def test_two_clicks_on_retry_make_one_run(run, researcher):
    run_at(run, state="failed")
    assert retry_run(run, by=researcher) == retry_run(run, by=researcher)


def test_a_retry_waits_for_the_retry_of_what_it_needs(project, run, researcher):
    run_at(run, state="failed")
    second = run_at(a_run(project, needs={"after": run}), state="cancelled")
    first_again = retry_run(run, by=researcher)
    assert retry_run(second, by=researcher).needs.get().needs == first_again


def test_what_is_not_over_is_not_retried(run, researcher):
    with pytest.raises(RunError, match="not over"):
        retry_run(run, by=a_user())
