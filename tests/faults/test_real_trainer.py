"""Runs by the real trainer on tiny models, through real programs."""

import pytest

from tests.factories import a_run, a_user, again
from tests.labs import a_lab, some_labels
from tests.tiny import ALIGN, SHORT, ended, prepared, stored_models, weights
from webapp.labeling.models import Task
from webapp.results.kept import standings_of
from webapp.results.queries import metric_series
from webapp.runs.checkpoints import evaluate_checkpoint
from webapp.runs.models import State
from webapp.runs.services import cancel_run

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(400)]


@pytest.fixture
def lab(transactional_db):
    return a_lab()


@pytest.fixture
def machine(stack, trainers):
    """Broker, worker and tend, with the real trainer."""
    return stack.forked_trainers(trainers).broker().worker().tend()


@pytest.mark.prove
def test_a_whole_chain_leaves_a_model_scores_and_tasks(machine, lab, tmp_path):
    models = prepared(machine, lab, some_labels(lab, tmp_path))
    align = a_run(lab, "align", ALIGN | {"steps": 3}, inputs=models)
    judged = {"prompts": 8, "judge": "none"} | SHORT
    needs = {"policy": align}
    rest = {role: models[role] for role in ("reference", "reward")}
    evaluate = a_run(lab, "evaluate", judged, inputs=rest, needs=needs)
    generate = a_run(lab, "generate", {"prompts": 5} | SHORT, needs=needs)
    for run in (align, evaluate, generate):
        ended(machine, run)
    made = [run.outputs.get().type for run in (align, evaluate, generate)]
    assert made == ["model", "scores", "completions"]
    assert "reward_gain" in again(evaluate).summary
    assert 0 < Task.objects.count() <= 5


@pytest.mark.slow
def test_a_killed_worker_changes_no_weight(machine, lab, tmp_path):
    models = stored_models(lab, tmp_path)
    settings = ALIGN | {"steps": 30, "checkpoint_every": 5}
    straight = ended(machine, a_run(lab, "align", settings, inputs=models, seed=7))
    killed = a_run(lab, "align", settings, inputs=models, seed=7)
    machine.until(killed.checkpoints.exists)
    machine.kill("worker")
    killed = ended(machine.worker("second"), killed)
    assert (killed.epoch, again(straight).epoch) == (2, 1)
    assert killed.resume_from.step > 0
    assert weights(killed) == weights(straight)
    assert steps_shown(killed) == steps_shown(straight) == list(range(1, 31))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_a_checkpoint_is_evaluated_by_another_worker_while_the_training_goes_on(
    machine, lab, tmp_path, rank
):
    rita, models = a_user(lab), stored_models(lab, tmp_path)
    endless = ALIGN | {"steps": 100_000, "checkpoint_every": 2, "lora_rank": rank}
    run = a_run(lab, "align", endless, inputs=models)
    machine.worker("second").until(run.checkpoints.exists)
    evaluation = ended(machine, evaluate_checkpoint(again(run), by=rita))
    (row,) = standings_of(again(run)).rows
    assert (row.evaluation, row.step > 0) == (evaluation, True)
    assert row.figures[0]["n"] > 0
    assert again(run).state == State.RUNNING
    assert again(run).step > row.step
    cancel_run(run, by=rita)
    ended(machine, run, "cancelled")


def steps_shown(run):
    """The steps of the run's loss curve."""
    return [point.step for point in metric_series(run, ["loss"])["loss"]]
