"""Proof that every objective and option learns: the reward rises and the target comes nearer.

    python -m pytest -m prove -s tests/alignment/test_learning.py

prints what each reached, as one JSON object a line.
"""

import json
from dataclasses import replace

import pytest

from alignment.kinds.align.run import tune
from alignment.models.computation import set_up
from alignment.models.lora import shared
from alignment.models.policies import Policy
from alignment.seam.events import StepDone
from tests.alignment.test_loop import FEW, exact_divergence, of, problems

pytestmark = pytest.mark.prove

LONG = FEW | {"steps": 60, "completions_per_prompt": 64}
STRONG = {"beta": 0.05, "learning_rate": 1e-2}  # an adapter alone is slower
WAYS = {
    "fdpg": {},
    "fdpg, reverse KL": {"divergence": "reverse_kl"},
    "fdpg, Rao-Blackwell": {"divergence": "reverse_kl", "estimator": "rao_blackwell"},
    "fdpg, replay": {"replay_share": 0.5},
    "fdpg, replay, surrogate": {"replay_share": 0.5, "estimator": "surrogate"},
    "fdpg, bf16, checkpointing": {"precision": "bf16", "gradient_checkpointing": True},
    "rloo": {"objective": "rloo"},
    "rloo, 2 updates": {"objective": "rloo", "updates_per_step": 2},
    "rloo, replay": {"objective": "rloo", "replay_share": 0.5},
    "rloo, LoRA": {"objective": "rloo", "lora_rank": 8, **STRONG},
    "grpo": {"objective": "grpo"},
    "grpo, unscaled": {"objective": "grpo", "group_scaling": False},
    "ppo": {"objective": "ppo"},
    "ppo, 2 updates": {"objective": "ppo", "updates_per_step": 2},
    "ppo, LoRA": {"objective": "ppo", "lora_rank": 8, **STRONG},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_reward_rises_and_the_target_comes_nearer(policy_folder, tmp_path, way):
    one = problems(policy_folder)(**LONG | WAYS[way])
    if one.config.lora_rank:
        one = replace(one, reference=shared(one.reference))
    set_up(one.reference, one.config, backward=False)
    rewards = [e.metrics["reward/mean"] for e in of(list(tune(one, tmp_path)), StepDone)]
    first, last = sum(rewards[:5]) / 5, sum(rewards[-5:]) / 5
    whole = replace(one, reference=Policy.load(one.start))  # an adapter is merged into a shared one
    before, after = (exact_divergence(whole, f) for f in (one.start, tmp_path / "output"))
    told = {"reward_first": first, "reward_last": last, "before": before, "after": after}
    print(json.dumps({"way": way} | {name: round(value, 4) for name, value in told.items()}))
    assert last > 3 * first
    assert after < 0.6 * before
