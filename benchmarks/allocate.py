"""What sharing out computing saves: ASHA against the grid, and a population's completions by a bandit.

On the toy, whose divergences from the target are exact. A sweep's trials are alignments by f-DPG with other
learning rates and numbers of completions; ASHA compares them at its rungs by the curve that runs report,
which is noisy, and is judged by the exact divergence at the end.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

import torch
from transformers.utils import logging

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import DIVERGENCES
from alignment.maths.estimators import estimate
from alignment.objectives.problem import Problem, State, prepare
from alignment.objectives.steps import train_step
from alignment.objectives.toy import listing, toy_problem, toy_state
from webapp.sweeps.config import SearchConfig
from webapp.sweeps.search import Searcher
from webapp.sweeps.space import AtRung, Dimension, Tried, Value, grid_size

ASKED = ("a", "b b a", "c d", "d a c")
SHARED = {
    "prompts_per_step": 4, "max_new_tokens": 3, "reference_completions": 24, "kl_budget": 1000,
    "beta": 0.5, "divergence": "jensen_shannon",
}  # fmt: skip
SPACE = (
    Dimension(name="learning_rate", values=(3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    Dimension(name="completions_per_prompt", values=(4, 8, 16)),
)
WATCHED = "divergence/target"
REPEATS = 5  # of the best trial, with other chance: its interval


@dataclass
class Climber:
    """A trial at work: so many of its steps are done."""

    problem: Problem
    state: State
    curve: list[float] = field(default_factory=list)  # as the run reports it

    def climb(self, step: int) -> float:
        """Go on to a step; what the curve says there."""
        while len(self.curve) < step:
            self.curve.append(train_step(self.problem, self.state)[WATCHED])
        return self.curve[step - 1]

    @torch.no_grad()
    def divergence(self) -> float:
        """The exact divergence from the target that is left."""
        kind = DIVERGENCES[self.problem.config.divergence]
        return listing(self.problem).divergence(self.state.policy, kind).mean().item()


def begun(values: Mapping[str, Value], seed: int, chance: int, steps: int) -> Climber:
    """A trial with these settings; the seed decides the toy, and chance what is drawn."""
    config = AlignConfig.model_validate({**SHARED, **values, "steps": steps})
    problem = replace(toy_problem(config, prompts=ASKED, seed=seed), seed=chance)
    state = toy_state(problem)
    prepare(problem, state)
    return Climber(problem, state)


def grid(search: Searcher, steps: int) -> tuple[list[Mapping[str, Value]], list[float]]:
    """Every point, tried to its end."""
    points: list[Mapping[str, Value]] = []
    left = []
    for _ in range(grid_size(SPACE)):
        points.append(search.propose([Tried(one, 0.0) for one in points]))
        trial = begun(points[-1], search.seed, search.seed, steps)
        trial.climb(steps)
        left.append(trial.divergence())
    return points, left


def asha(search: Searcher, steps: int) -> tuple[float, int]:
    """The same points, of which the worse are stopped: the best one's divergence, and all steps done."""
    arrivals: list[AtRung] = []
    points: list[Mapping[str, Value]] = []
    found: list[tuple[float, float]] = []
    done = 0
    for number in range(grid_size(SPACE)):
        points.append(search.propose([Tried(one, 0.0) for one in points]))
        trial = begun(points[-1], search.seed, search.seed, steps)
        if climbs(search, trial, number, arrivals, steps):
            found.append((trial.climb(steps), trial.divergence()))
        done += len(trial.curve)
    return min(left for _told, left in found), done


def climbs(
    search: Searcher, trial: Climber, number: int, arrivals: list[AtRung], steps: int
) -> bool:
    """Whether a trial is let go on at every rung."""
    for rung, step in enumerate(search.config.rungs(steps)):
        arrivals.append(AtRung(number, rung, trial.climb(step)))
        if not search.goes_on(arrivals):
            return False
    return True


def sweeps(seeds: int, steps: int) -> dict[str, object]:
    """ASHA's best against the grid's, whose interval is of repeats of it; and the share of the steps."""
    rows = [sweep(seed, steps) for seed in range(seeds)]
    return {
        "trials": grid_size(SPACE),
        "steps": steps,
        "seeds": rows,
        "within": sum(bool(row["within"]) for row in rows),
        "steps_share": mean(float(str(row["steps_share"])) for row in rows),
    }


def sweep(seed: int, steps: int) -> dict[str, object]:
    """One seed of it."""
    all_of = SearchConfig(method="grid", trials=grid_size(SPACE))
    some = SearchConfig(method="asha", trials=grid_size(SPACE), first_rung=steps // 9, reduction=3)
    points, left = grid(Searcher(SPACE, all_of, larger=False, seed=seed), steps)
    best = points[left.index(min(left))]
    again = repeats(best, seed, steps)
    reached, done = asha(Searcher(SPACE, some, larger=False, seed=seed), steps)
    found = estimate([min(left), *again])
    high = found.high if found.high is not None else found.value
    return {
        "grid": {"value": found.value, "low": found.low, "high": found.high, "best": best},
        "asha": reached,
        "within": reached <= max(high, min(left)),
        "steps_share": done / (len(points) * steps),
    }


def repeats(values: Mapping[str, Value], seed: int, steps: int) -> Sequence[float]:
    """The same settings with other chance: what is left of the divergence."""
    trials = [begun(values, seed, 1000 + number, steps) for number in range(1, REPEATS)]
    for trial in trials:
        trial.climb(steps)
    return [trial.divergence() for trial in trials]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="of the sweeps")
    parser.add_argument("--steps", type=int, default=54, help="of every trial")
    options = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    print(json.dumps({"sweeps": sweeps(options.seeds, options.steps)}))


if __name__ == "__main__":
    main()
