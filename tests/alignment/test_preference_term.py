"""f-DPO's loss of pairs beside f-DPG: its gradient, its pause, and where both pull."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from alignment.kinds.align.run import read_problem, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.prefer.run import losses
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.spec import RunSpec
from alignment.objectives.laps import places_of_turn
from alignment.objectives.pairs import pairs_of, sides_of
from alignment.objectives.preferences import learn_pairs
from alignment.objectives.problem import begin
from alignment.seam.errors import ConfigError
from alignment.seam.events import StepDone
from alignment.seam.records import write_jsonl
from benchmarks.hybrid import compared, parser
from tests.alignment.rewarding import a_pair
from tests.alignment.test_loop import SMALL, continues, problems, records

PAIRS = [
    a_pair("sun day", f"{word} sun", f"{word} rain") for word in ("a", "b", "day", "now", "good")
]
HYBRID = {"preference_weight": 0.5, "preferences_per_update": 3}


@pytest.fixture
def problem(policy_folder):
    def make(**settings):
        one = problems(policy_folder)(**HYBRID | {"sample_prompts": 0} | settings)
        return replace(one, preferences=pairs_of(one.reference, PAIRS))

    return make


def test_its_gradient_is_that_of_the_weighted_loss_of_the_pairs(problem):
    one = problem(beta=0.7)
    state = begin(one)
    for weight in state.policy.model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    told = learn_pairs(one, state, turn=1)
    found = [weight.grad.clone() for weight in state.policy.model.parameters()]
    state.policy.model.zero_grad()
    some = [one.preferences[place] for place in places_of_turn(1, 3, 5, one.seed + 1)]
    plain = PreferConfig(beta=0.7, divergence="reverse_kl")
    loss = losses(sides_of(state.policy, some), torch.zeros(()), plain).mean()
    (0.5 * loss).backward()
    assert told["preference/loss"] == pytest.approx(loss.item(), rel=1e-5)
    for mine, weight in zip(found, state.policy.model.parameters(), strict=True):
        torch.testing.assert_close(mine, weight.grad)


def test_pairs_are_told_better_beside_the_policy_s_own_completions(problem, tmp_path):
    events = list(tune(problem(steps=6, learning_rate=1e-2), tmp_path))
    told = [event.metrics for event in events if isinstance(event, StepDone)]
    assert told[-1]["preference/loss"] < 0.5 * told[0]["preference/loss"]
    assert told[-1]["preference/accuracy"] == 1


def test_a_saved_run_continues_bit_by_bit(problem, tmp_path):
    continues(lambda: problem(steps=4, updates_per_step=2), tmp_path, 2)


def test_a_run_s_folder_names_its_preferences(policy_folder, tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", records(4))
    write_jsonl(tmp_path / "pairs.jsonl", [*PAIRS, *PAIRS, a_pair("sun", "a", "a")])
    config = AlignConfig(**SMALL | HYBRID, reward_weight=0, rule="words")
    inputs = {
        "policy": str(policy_folder),
        "reference": str(policy_folder),
        "prompts": "prompts.jsonl",
    }
    told = {"kind": "align", "run": 1, "epoch": 1, "config": config.model_dump(mode="json")}
    with pytest.raises(ConfigError, match="no preferences"):
        read_problem(RunSpec(**told, inputs=inputs), tmp_path, config)
    spec = RunSpec(**told, inputs=inputs | {"preferences": "pairs.jsonl"})
    assert len(read_problem(spec, tmp_path, config).preferences) == 2 * len(PAIRS)


def test_pairs_need_a_divergence_that_they_decide():
    with pytest.raises(ValidationError, match="pairs do not decide the policy"):
        AlignConfig(preference_weight=1, preference_divergence="total_variation")


def test_the_benchmark_of_both_terms_measures_each_seed():
    asked = parser().parse_args(["--seeds=2", "--steps=3", "--pairs=8"])
    found = compared(asked)
    assert {"fdpg", "fdpo", "hybrid", "hybrid_less_fdpg", "hybrid_less_fdpo"} == set(found)
    one = found["hybrid"]["jensen_shannon"]["value"] - found["fdpo"]["jensen_shannon"]["value"]
    assert found["hybrid_less_fdpo"]["jensen_shannon"]["value"] == pytest.approx(one)
    assert found["fdpg"]["reverse_kl"]["value"] > 0
