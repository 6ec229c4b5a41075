"""f-DPG with f-DPO's loss of people's pairs beside it, and each alone, on a toy whose target is known exactly.

A prompt's outcomes are all listed, so that every number is a divergence of the policy from the target, not an estimate.
The pairs are completions of the reference, of which people prefer one by Bradley and Terry's model of the reward; each
method takes as many updates. Every seed has a reference, a reward's pairs and random numbers of its own; the
differences are paired by seed.

    python -m benchmarks.hybrid [--seeds 8] [--steps 60] [--pairs 64] [--weight 0.3]
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import DIVERGENCES
from alignment.maths.estimators import estimate
from alignment.models.texts import Written
from alignment.objectives.pairs import Pair
from alignment.objectives.preferences import learn_pairs
from alignment.objectives.problem import Problem, State, prepare
from alignment.objectives.steps import descend, train_step
from alignment.objectives.toy import Listing, listing, toy_problem, toy_state

MEASURED = ("jensen_shannon", "reverse_kl", "forward_kl")
LOOP: Mapping[str, Any] = {
    "max_new_tokens": 3, "prompts_per_step": 2, "completions_per_prompt": 8, "learning_rate": 3e-3, "beta": 0.35,
    "kl_budget": 1000.0, "warmup": 5,
}  # fmt: skip


def fdpg(problem: Problem, state: State) -> None:
    """One step of f-DPG, with the term of the pairs where the settings give it a weight."""
    train_step(problem, state)


def fdpo(problem: Problem, state: State) -> None:
    """One update of f-DPO alone: nothing is drawn."""
    state.optimizer.zero_grad()
    told = learn_pairs(problem, state, state.step)
    descend(problem.config, state, told["preference/loss"], way=1.0, again=False)
    state.step += 1


METHODS: Mapping[str, tuple[Callable[[Problem, State], None], float]] = {
    "fdpg": (fdpg, 0.0),
    "fdpo": (fdpo, 1.0),
    "hybrid": (fdpg, -1.0),  # by the weight that is asked for
}


def judged(problem: Problem, every: Listing, count: int, generator: torch.Generator) -> list[Pair]:
    """So many pairs of the reference's completions of each prompt, as people judge them by the reward."""
    rewards, found = every.values.rewards.view_as(every.log_reference), []
    completions = every.rollouts.completion_ids()
    for place, ids in enumerate(problem.ids):
        chances = every.log_reference[place].exp()
        sides = torch.multinomial(chances, 2 * count, replacement=True, generator=generator)
        first = place * every.log_reference.shape[1]
        for left, right in sides.view(-1, 2).tolist():
            if left == right:
                continue
            margin = rewards[place, left] - rewards[place, right]
            wins = torch.rand((), generator=generator) < torch.sigmoid(margin)
            order = (left, right) if wins else (right, left)
            rows = [Written(tuple(ids), tuple(completions[first + one])) for one in order]
            known = [every.log_reference[place, one].item() for one in order]
            found.append(Pair(problem.prompts[place].key, rows[0], rows[1], known[0], known[1]))
    return found


def learned(name: str, seed: int, asked: argparse.Namespace) -> dict[str, float]:
    """How far a method's policy is from the target after its updates, by every divergence that is measured."""
    take, weight = METHODS[name]
    weight = asked.weight if weight < 0 else weight
    config = AlignConfig(steps=asked.steps, preference_weight=weight, **LOOP)
    problem = toy_problem(config, seed=seed)
    every, generator = listing(problem), torch.Generator().manual_seed(seed)
    problem = replace(problem, preferences=judged(problem, every, asked.pairs, generator))
    state = toy_state(problem)
    prepare(problem, state)
    for _step in range(asked.steps):
        take(problem, state)
    with torch.no_grad():
        return {f: every.divergence(state.policy, DIVERGENCES[f]).mean().item() for f in MEASURED}


def compared(asked: argparse.Namespace) -> dict[str, Any]:
    """Every method's divergences over seeds, and the hybrid's beside each other's, paired."""
    found = {name: [learned(name, seed, asked) for seed in range(asked.seeds)] for name in METHODS}
    table: dict[str, Any] = {
        name: {f: estimate([row[f] for row in rows]).model_dump() for f in MEASURED}
        for name, rows in found.items()
    }
    for other in ("fdpg", "fdpo"):
        both = list(zip(found["hybrid"], found[other], strict=True))
        table[f"hybrid_less_{other}"] = {
            f: estimate([mine[f] - its[f] for mine, its in both]).model_dump() for f in MEASURED
        }
    return table


def parser() -> argparse.ArgumentParser:
    """What may be asked for."""
    found = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    found.add_argument("--seeds", type=int, default=8)
    found.add_argument("--steps", type=int, default=60)
    found.add_argument("--pairs", type=int, default=64)
    found.add_argument("--weight", type=float, default=0.3)
    return found


def main() -> None:
    """Print one JSON object."""
    torch.set_num_threads(1)
    print(json.dumps(compared(parser().parse_args())))


if __name__ == "__main__":
    main()
