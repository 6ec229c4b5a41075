"""A checkpoint of an alignment as a model of its own."""

import json

import pytest
import torch

from alignment.kinds.align.run import tune
from alignment.kinds.checkpoint.results import CheckpointResults
from alignment.kinds.spec import RunSpec
from alignment.models.policies import Policy
from alignment.seam.errors import CheckpointError
from alignment.seam.events import Finished
from alignment.targets.targets import load_target
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_loop import of, problems, weights

SHORT = {"steps": 4, "sample_prompts": 0, "checkpoint_every": 2, "keep_end": True}


@pytest.fixture
def problem(policy_folder):
    return problems(policy_folder)


@pytest.fixture
def keep(policy_folder, tmp_path):
    """Keeps the checkpoint of a step of a run in tmp_path / "run" as a model; the events, and its folder."""

    def make(config, step, policy=None):
        told = {"of_run": 3, "step": step}
        inputs = {
            "checkpoint": str(tmp_path / "run" / f"ckpt-{step:06d}"),
            "policy": str(policy or policy_folder),
            "reference": str(policy_folder),
        }
        stored = config.model_dump(mode="json") | told
        spec = RunSpec(kind="checkpoint", run=4, epoch=1, config=stored, inputs=inputs)
        (tmp_path / "kept").mkdir()
        return list(drive(spec, tmp_path / "kept")), tmp_path / "kept" / "output"

    return make


@pytest.mark.parametrize("how", [{}, {"lora_rank": 2, "keep_adapter": True}])
def test_it_is_what_the_run_makes_of_the_same_step(problem, keep, tmp_path, how):
    made = problem(**SHORT, **how)
    list(tune(made, tmp_path / "run"))
    events, output = keep(made.config, 4)
    (finished,) = of(events, Finished)
    CheckpointResults.model_validate(finished.summary)
    assert finished.summary["steps"] == 4
    result, kept = weights(tmp_path / "run" / "output"), weights(output)
    assert all(torch.equal(kept[name], result[name]) for name in result)
    assert (output / "adapter" / "adapter_config.json").is_file() == bool(how)
    config, lambdas = load_target(output)
    assert (config, lambdas) == (made.config, [])
    assert json.loads((output / "receipts.json").read_text())["mismatch"] < 1e-3


def test_it_is_the_policy_of_its_own_step_with_the_weights_of_wished_means(problem, keep, tmp_path):
    made = problem(**SHORT, length_mean=5.5, reference_completions=16)
    list(tune(made, tmp_path / "run"))
    _, output = keep(made.config, 2)
    checkpoint = tmp_path / "run" / "ckpt-000002"
    saved, kept = weights(checkpoint / "policy"), weights(output)
    assert all(torch.equal(kept[name], saved[name]) for name in saved)
    facts = json.loads((checkpoint / "state.json").read_text())
    assert load_target(output)[1] == [facts["fit"]["wishes"][0]["lambda"]]


def test_the_adapter_of_another_model_is_refused(problem, keep, tmp_path):
    made = problem(**SHORT, lora_rank=2)
    list(tune(made, tmp_path / "run"))
    larger = tiny_policy()
    larger.model.config.n_layer = 1
    other = Policy(type(larger.model)(larger.model.config), larger.tokenizer)
    (tmp_path / "other").mkdir()
    other.save(tmp_path / "other")
    with pytest.raises(CheckpointError, match="beside other layers"):
        keep(made.config, 4, tmp_path / "other")
