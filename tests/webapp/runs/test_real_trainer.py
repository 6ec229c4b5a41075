"""Runs by the real trainer on tiny models, through real programs."""

import json
from datetime import UTC, datetime

import pytest

from alignment.folders import committed, file_sha256
from alignment.grammar import prompts
from tests.factories import a_project, a_prompt, a_run, again
from webapp.datasets.snapshots import SnapshotRow, write
from webapp.labeling.models import Task
from webapp.registry.models import Artifact
from webapp.registry.services import store
from webapp.runs.queries import metric_series

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
TINY = {"documents": 100, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "steps": 3}
SHORT = {"max_new_tokens": 4, "completions_per_prompt": 2}
LONG = {"steps": 60, "checkpoint_every": 5, "warmup": 0, "kl_budget": 1000.0, "sample_every": 50}
ALIGN = SHORT | LONG | {"prompts": 8, "prompts_per_step": 4, "reference_completions": 2}


@pytest.fixture
def lab(transactional_db):
    """A project with prompts in every split."""
    project = a_project()
    for (message,) in prompts(seed=1, count=60):
        a_prompt(project, message.content)
    return project


@pytest.fixture
def labels(lab, tmp_path):
    """A snapshot in which the longer answer always wins."""
    rows = [
        SnapshotRow(
            prompt_key=prompt.key,
            split=prompt.split,
            messages=json.dumps(prompt.messages),
            left="Yes, with pleasure.",
            right="No.",
            chosen="Yes, with pleasure.",
            rejected="No.",
            strength=2,
            annotator="a1",
            created_at=datetime.now(UTC),
            source="label",
        )
        for prompt in lab.prompts.order_by("key")
    ]
    with committed(tmp_path / "snapshot") as aside:
        write(aside, rows)
    return store(tmp_path / "snapshot", project=lab, type=Artifact.Type.SNAPSHOT, name="Snapshot 1")


@pytest.fixture
def machine(stack):
    """Broker, worker and tend, with the real trainer."""
    return stack.broker().worker().tend()


def ended(machine, run, state="succeeded"):
    """The run once it is over, which it should be in this state."""
    machine.until(lambda: again(run).is_final)
    assert again(run).state == state, f"{again(run).message}\n{machine.logs()}"
    return again(run)


def prepared(machine, lab, labels):
    """A tiny policy and a reward model for it, as inputs of what comes next."""
    starter = ended(machine, a_run(lab, "pretrain", TINY))
    policy = starter.outputs.get()
    inputs = {"backbone": policy, "labels": labels}
    reward = ended(machine, a_run(lab, "reward", {"epochs": 1}, inputs=inputs))
    return {"policy": policy, "reference": policy, "reward": reward.outputs.get()}


def weights(run):
    return file_sha256(run.outputs.get().path / "model.safetensors")


def test_a_whole_chain_leaves_a_model_scores_and_tasks(machine, lab, labels):
    models = prepared(machine, lab, labels)
    short = ALIGN | {"steps": 3}
    align = a_run(lab, "align", short, inputs=models)
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


def test_a_killed_worker_changes_no_weight(machine, lab, labels):
    models = prepared(machine, lab, labels)
    straight = ended(machine, a_run(lab, "align", ALIGN, inputs=models, seed=7))
    killed = a_run(lab, "align", ALIGN, inputs=models, seed=7)
    machine.until(killed.checkpoints.exists)
    machine.kill("worker")
    killed = ended(machine.worker("second"), killed)
    assert (killed.epoch, again(straight).epoch) == (2, 1)
    assert killed.resume_from.step > 0
    assert weights(killed) == weights(straight)
    assert steps_shown(killed) == steps_shown(straight) == list(range(1, 61))


def steps_shown(run):
    """The steps of the run's loss curve."""
    return [point.step for point in metric_series(run, ["loss"])["loss"]]
