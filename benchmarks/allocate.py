"""What sharing out saves: of steps by ASHA against a grid, of completions by a bandit, of labels by a choice.

Sweeps and populations are on the toy, whose divergences from the target are exact. A sweep's trials are
alignments by f-DPG with other learning rates and numbers of completions; ASHA compares them at its rungs by
the curve that runs report, which is noisy, and is judged by the exact divergence at the end. Labels are
preferences of simulated people between two answers of the small world; a reward model learns from as many,
chosen otherwise.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch
from transformers.utils import logging

from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.population.run import sharing
from alignment.kinds.population.run import train_step as train_together
from alignment.kinds.population.settings import SHARINGS, SharingName
from alignment.kinds.pretrain.run import pretrain
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.settings.selection import SelectionName
from alignment.kinds.spec import RunSpec
from alignment.maths.bandits import Bandit
from alignment.maths.divergences import DIVERGENCES
from alignment.maths.estimators import estimate, paired_estimate
from alignment.objectives.problem import Problem, State, prepare
from alignment.objectives.steps import train_step
from alignment.objectives.toy import listing, toy_problem, toy_state
from alignment.reward.selection import chosen_labels
from alignment.seam.records import PairRecord, PromptRecord, RankingRecord, prompt_key
from alignment.world.grammar import documents
from alignment.world.utility import SimulatedAnnotator
from benchmarks.intervals import geometric_ratio
from benchmarks.population import exact, toys
from benchmarks.reward import ours
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
CHOICES: tuple[SelectionName, ...] = ("random", "k_centre", "d_optimal")
POOL, HELD = 400, 300  # labels to choose from, and to measure by
STARTER = {"documents": 1500, "layers": 2, "width": 64, "heads": 2, "vocabulary": 600, "steps": 150}
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


def bandits(seeds: int, steps: int) -> dict[str, object]:
    """What is left of a population's divergences over what equal shares leave, at as many completions."""
    left = {rule: [population(rule, seed, steps) for seed in range(seeds)] for rule in SHARINGS}
    ratios = {rule: geometric_ratio(left[rule], left["equal"]) for rule in ("thompson", "exp3")}
    return {"left_ratio": ratios, "seeds": seeds, "steps": steps}


def population(rule: SharingName, seed: int, steps: int) -> float:
    """The geometric mean of its agents' exact divergences in the end."""
    problems = toys(seed, steps)
    agents = sharing(problems, {name: toy_state(problem) for name, problem in problems.items()})
    agents[0].state.known.bandit = Bandit(rule)
    prepare(agents[0].problem, agents[0].state)
    for _ in range(steps):
        train_together(agents)
    return exp(mean(log(exact(agent.problem, agent.state)) for agent in agents))


def selections(seeds: int, chosen: int) -> dict[str, object]:
    """Held-out accuracy of reward models of as many labels, less that of labels chosen by chance."""
    found: dict[SelectionName, list[float]] = {name: [] for name in CHOICES}
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = KINDS["pretrain"].settings(**STARTER).model_dump()
        spec = RunSpec(kind="pretrain", run=1, epoch=1, config=config, inputs={})
        for _event in pretrain(spec, folder):
            pass
        for seed in range(seeds):
            labels = preferences(seed, POOL + HELD)
            for choice, row in found.items():
                row.append(accuracy(folder / "output", labels, choice, seed, chosen))
    gaps = {
        choice: paired_estimate(row, found["random"]).model_dump()
        for choice, row in found.items()
        if choice != "random"
    }
    alone = estimate(found["random"]).model_dump()
    return {"accuracy": gaps, "by_chance": alone, "seeds": seeds, "chosen": chosen, "of": POOL}


def accuracy(
    folder: Path, labels: Sequence[PairRecord], choice: SelectionName, seed: int, chosen: int
) -> float:
    """Of a reward model that learned from these labels of the pool, on those that are held out."""
    config = RewardConfig(selection=choice, selected=chosen, epochs=8, batch=16, learning_rate=1e-3)
    fitted = chosen_labels(folder, config, labels[:POOL], seed)
    return ours(folder, config, fitted, labels[POOL:]).told.accuracy().value


def preferences(seed: int, count: int) -> list[PairRecord]:
    """Choices of simulated people between two answers to the same prompt."""
    person, found = SimulatedAnnotator(seed), list[PairRecord]()
    for ranking in answers(seed + 1, 20 * count):
        left, right = ranking.completions[:2]
        choice = person.choose(ranking.prompt.text, left, right)
        if choice not in (0, 4):
            better, worse = (left, right) if choice < 4 else (right, left)
            found.append(PairRecord(prompt=ranking.prompt, chosen=better, rejected=worse))
    assert len(found) >= count
    return found[:count]


def answers(seed: int, count: int) -> list[RankingRecord]:
    """Prompts of the small world, each with two different answers or more in no order that means anything."""
    texts: dict[str, list[str]] = {}
    turns = {}
    for messages, text in documents(seed, count):
        key = prompt_key(messages)
        turns[key] = messages
        texts.setdefault(key, []).append(text)
    return [
        RankingRecord(
            prompt=PromptRecord(key=key, messages=turns[key]),
            completions=tuple(rows[place : place + 2]),
            ranks=(0, 1),
        )
        for key, rows in texts.items()
        for place in range(0, len(rows) - 1, 2)
        if rows[place] != rows[place + 1]
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["sweeps", "bandits", "selections"], help="one of them")
    parser.add_argument("--seeds", type=int, default=0, help="instead of the usual ones")
    parser.add_argument("--steps", type=int, default=54, help="of every trial and population")
    options = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    parts = {
        "sweeps": lambda: sweeps(options.seeds or 5, options.steps),
        "bandits": lambda: bandits(options.seeds or 10, options.steps),
        "selections": lambda: selections(options.seeds or 12, 80),
    }
    print(
        json.dumps({name: part() for name, part in parts.items() if options.only in (None, name)})
    )


if __name__ == "__main__":
    main()
