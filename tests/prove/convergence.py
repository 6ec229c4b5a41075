"""`python -m tests.prove.convergence`: every divergence comes to every target, by the real loop.

On a two-layer transformer whose 85 completions of a prompt can be listed, exact D_f(policy || p) falls
to a twentieth (total variation: a tenth) of what it was within 2,000 steps of 64 samples. Pairs that
are refused must raise. The last line is one JSON object: the smallest factor by divergence and by
target; the exit status says whether all came.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import ValidationError

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import DIVERGENCES, divergence_of
from alignment.objectives.problem import prepare
from alignment.objectives.steps import train_step
from alignment.objectives.toy import listing, toy_problem, toy_state

STEPS, EVERY = 2000, 20
LOOP = {
    "prompts_per_step": 2,
    "completions_per_prompt": 32,
    "reference_completions": 512,
    "max_new_tokens": 3,
    "kl_budget": 1000,
    "warmup": 0,
    "steps": STEPS,
}
TARGETS: dict[str, dict[str, Any]] = {
    "reward": {"beta": 0.4},
    "hard": {"reward_weight": 0, "must_contain": "b"},
    "moment": {"reward_weight": 0, "share_of": "c", "share": 0.6, "length_mean": 2.2},
    "hybrid": {"beta": 1.0, "must_contain": "c", "share_of": "b", "share": 0.3},
}
ORDERS = (-0.5, 0.5, 1.5)
NAMED: dict[str, dict[str, Any]] = {name: {"divergence": name} for name in DIVERGENCES}
EVERY_F = NAMED | {f"alpha({a:g})": {"divergence": "alpha", "alpha": a} for a in ORDERS}
RATE = 3e-3
OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    # The heaviest tail of all: one sample in thousands outweighs the rest, and it is cut.
    ("neyman_chi2", "reward"): {"pseudo_reward_limit": 5.0},
}
LEAST = {"total_variation": 10.0}  # its pseudo-reward knows only the direction
USUAL = 20.0


@dataclass(frozen=True)
class Found:
    """How far one divergence fell on its way to one target."""

    divergence: str
    target: str
    factor: float
    steps: int

    @property
    def came(self) -> bool:
        """Whether it fell as far as it should."""
        return self.factor >= LEAST.get(self.divergence, USUAL)


def settings_of(name: str, target: str) -> AlignConfig | None:
    """The settings of a pair; None where they are refused."""
    options = {"learning_rate": RATE} | OPTIONS.get((name, target), {})
    try:
        return AlignConfig(**LOOP, **EVERY_F[name], **TARGETS[target], **options)
    except ValidationError as error:
        if "infinite wherever the policy may break a hard constraint" not in str(error):
            raise
        return None


def run(name: str, target: str, config: AlignConfig) -> Found:
    """Train until the divergence has fallen far enough, or the steps are over."""
    problem = toy_problem(config)
    state = toy_state(problem)
    prepare(problem, state)
    every = listing(problem, state.lambdas)

    @torch.no_grad()
    def measured() -> float:
        return every.divergence(state.policy, divergence_of(config)).mean().item()

    before, found = measured(), Found(name, target, 1.0, 0)
    while state.step < STEPS and not found.came:
        for _ in range(EVERY):
            train_step(problem, state)
        found = replace(found, factor=before / measured(), steps=state.step)
    return found


def report(found: list[Found], refused: list[str], seconds: float) -> dict[str, Any]:
    """The smallest factor by divergence and by target, and the pairs that were refused."""

    def smallest(kind: str) -> dict[str, float]:
        keys = dict.fromkeys(getattr(one, kind) for one in found)
        return {
            key: round(min(one.factor for one in found if getattr(one, kind) == key), 1)
            for key in keys
        }

    return {
        "pairs": len(found),
        "came": sum(one.came for one in found),
        "by_divergence": smallest("divergence"),
        "by_target": smallest("target"),
        "most_steps": max(one.steps for one in found),
        "refused": refused,
        "seconds": round(seconds),
    }


def main() -> int:
    """Prove every pair, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.prove.convergence", description=__doc__)
    parser.add_argument("--divergence", nargs="+", choices=EVERY_F, default=list(EVERY_F))
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=list(TARGETS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, found, refused = time.perf_counter(), [], []
    for name in options.divergence:
        for target in options.target:
            if (config := settings_of(name, target)) is None:
                refused.append(f"{name} with {target}")
                continue
            found.append(run(name, target, config))
            print(found[-1], flush=True)
    print(json.dumps(report(found, refused, time.perf_counter() - started)))
    return 0 if all(one.came for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
