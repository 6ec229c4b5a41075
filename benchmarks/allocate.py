"""What sharing out saves: of steps by ASHA, of completions by a bandit, of parameters by worth, of labels by a choice.

Sweeps and populations are on the toy, whose divergences from the target are exact. A sweep's trials are
alignments by f-DPG with other learning rates and numbers of completions; ASHA compares them at its rungs by
the curve that runs report, which is noisy, and is judged by the exact divergence at the end; so is a
controller, which learned on the trials of the other seeds. Labels are
preferences of simulated people between two answers of the small world; a reward model learns from as many,
chosen otherwise.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from alignment.lab.sizes import WAYS
from alignment.maths.bandits import Bandit
from alignment.maths.estimators import estimate, paired_estimate
from alignment.objectives.problem import prepare
from alignment.objectives.steps import train_step
from alignment.objectives.toy import toy_problem, toy_state
from alignment.reward.selection import chosen_labels
from alignment.seam.records import PairRecord, PromptRecord, RankingRecord, prompt_key, write_jsonl
from alignment.trainer import drive
from alignment.world.grammar import documents, prompts
from benchmarks.intervals import geometric_ratio
from benchmarks.population import exact, toys
from benchmarks.reward import ours
from webapp.demo.annotators import answers_to
from webapp.sweeps.config import SearchConfig
from webapp.sweeps.controller import Recorded, controlled, learned_worth
from webapp.sweeps.search import Searcher
from webapp.sweeps.space import AtRung, Dimension, Tried, Value, grid_size

ASKED = ("a", "b b a", "c d", "d a c")
SHARED = {
    "prompts_per_step": 4, "max_new_tokens": 3, "reference_completions": 24, "kl_budget": 1000,
    "beta": 0.5, "divergence": "jensen_shannon",
}  # fmt: skip
SPACE = (
    Dimension(name="learning_rate", values=(3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    Dimension(
        name="completions_per_prompt", values=(16, 32, 64)
    ),  # 64 to 256 in a step, by default 128
)
WATCHED = "divergence/target"
CHOICES: tuple[SelectionName, ...] = ("random", "k_centre", "d_optimal", "agents")
POOL, HELD = 400, 300  # labels to choose from, and to measure by
FACTORISED = {
    "share": 0.6, "prompts": 96, "held_out_prompts": 8, "completions_per_prompt": 2, "max_new_tokens": 32,
}  # fmt: skip
STARTER = {"documents": 1500, "layers": 2, "width": 64, "heads": 2, "vocabulary": 600, "steps": 150}
REPEATS = 5  # of the best trial, with other chance: its interval


@dataclass(frozen=True)
class Tracked:
    """A trial that was computed to its end."""

    values: Mapping[str, Value]
    curve: list[float]  # as the run reports it, step by step
    left: float  # of the divergence from the target, exactly

    def height(self, step: int) -> float:
        """The curve at a step, as rungs have it: its mean since half of the way."""
        return mean(self.curve[step // 2 : step])


def tracked(values: Mapping[str, Value], seed: int, chance: int, steps: int) -> Tracked:
    """A trial with these settings; the seed decides the toy, and chance what is drawn."""
    config = AlignConfig.model_validate({**SHARED, **values, "steps": steps})
    problem = replace(toy_problem(config, prompts=ASKED, seed=seed), seed=chance)
    state = toy_state(problem)
    prepare(problem, state)
    curve = [train_step(problem, state)[WATCHED] for _ in range(steps)]
    return Tracked(values, curve, exact(problem, state))


def grid(seed: int, steps: int) -> list[Tracked]:
    """Every point, tried to its end, in the order in which a search by chance comes to them."""
    config = SearchConfig(method="random", trials=grid_size(SPACE))
    search, found = Searcher(SPACE, config, larger=False, seed=seed), list[Tracked]()
    for _ in range(grid_size(SPACE)):
        values = search.propose([Tried(one.values, one.left) for one in found])
        found.append(tracked(values, seed, seed, steps))
    return found


def raced(
    trials: Sequence[Tracked], rungs: Sequence[int], goes_on: Callable[[list[AtRung]], bool]
) -> dict[str, float]:
    """The same trials, stopped where they are not let go on: what the best leaves, and the share of the steps."""
    arrivals: list[AtRung] = []
    left, done, steps = [], 0, len(trials[0].curve)
    for number, trial in enumerate(trials):
        for rung, step in enumerate(rungs):
            arrivals.append(AtRung(number, rung, trial.height(step)))
            if not goes_on(arrivals):
                done += step
                break
        else:
            done += steps
            left.append(trial.left)
    return {"left": min(left), "steps_share": done / (len(trials) * steps)}


def sweeps(seeds: int, steps: int) -> dict[str, object]:
    """ASHA and a controller on the grid's own trials; the controller learns from those of the other seeds."""
    config = SearchConfig(method="asha", trials=200)  # as a sweep has it that nobody set
    rungs = config.rungs(steps)
    grids = [grid(seed, steps) for seed in range(seeds)]
    rows = []
    for seed, trials in enumerate(grids):
        others = [trial for other in grids if other is not trials for trial in other]
        searcher = Searcher(SPACE, config, larger=False, seed=seed)
        ways = {"asha": searcher.goes_on, "controller": controller(others, rungs, steps, seed)}
        found = {name: raced(trials, rungs, way) for name, way in ways.items()}
        rows.append({"grid": best_of(trials, seed, steps), **found})
    return {
        "trials": grid_size(SPACE), "steps": steps, "rungs": rungs, "seeds": rows,
        **{name: compared(rows, name) for name in ("asha", "controller")},
    }  # fmt: skip


def controller(
    others: Sequence[Tracked], rungs: Sequence[int], steps: int, seed: int
) -> Callable[[list[AtRung]], bool]:
    """Who is let go on by what other trials taught."""
    played = [Recorded(tuple(-one.height(step) for step in rungs), -one.left) for one in others]
    worth = learned_worth(played, [step / steps for step in rungs], seed) if played else {}
    return lambda arrivals: controlled(worth, arrivals, larger=False)


def best_of(trials: Sequence[Tracked], seed: int, steps: int) -> dict[str, object]:
    """The best of the grid, with the interval of its settings' repeats by other chance."""
    best = min(trials, key=lambda one: one.left)
    again = [tracked(best.values, seed, 1000 + number, steps) for number in range(1, REPEATS)]
    found = estimate([best.left, *(one.left for one in again)])
    return {"left": best.left, "low": found.low, "high": found.high, "values": best.values}


def compared(rows: Sequence[dict[str, dict[str, float]]], name: str) -> dict[str, object]:
    """In how many seeds it ended within the best trial's interval, what it left over that, and its steps."""
    within = [row[name]["left"] <= max(row["grid"]["high"], row["grid"]["left"]) for row in rows]
    left = [row[name]["left"] for row in rows]
    return {
        "within": sum(within),
        "of": len(rows),
        "left_ratio": geometric_ratio(left, [row["grid"]["left"] for row in rows]),
        "steps_share": mean(row[name]["steps_share"] for row in rows),
    }


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


def ranks(seeds: int) -> dict[str, object]:
    """KL of factorised starters to their originals with ranks by worth, over that with equal shares at equal size."""
    rows = [sizes_of(seed) for seed in range(seeds)]
    ratios = {
        f"{share:g}": geometric_ratio(*(
            [row[share, WAYS[way]] for row in rows] for way in ("fitted", "equal")
        ))
        for share in sorted({share for share, _way in rows[0]})
    }  # fmt: skip
    return {"kl_ratio": ratios, "seeds": seeds, "starter": STARTER}


def sizes_of(seed: int) -> dict[tuple[float, str], float]:
    """What a factorisation tells of other sizes and ways: KL (nats a token) by share of the parameters and way."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        inputs = {"policy": str(starter(seed, folder / "starter"))}
        for role, rows in (("prompts", asked_of(seed, 96)), ("held_out", asked_of(seed + 100, 8))):
            write_jsonl(folder / f"{role}.jsonl", rows)
            inputs[role] = f"{role}.jsonl"
        spec = RunSpec(
            kind="factorise", run=1, epoch=1, seed=seed, config=FACTORISED, inputs=inputs
        )
        *_events, last = drive(spec, folder)
    return {(row["share"], row["way"]): row["kl_token"] for row in last.summary["sizes"]}


def asked_of(seed: int, count: int) -> list[PromptRecord]:
    """Prompts of the small world."""
    return [
        PromptRecord(key=prompt_key(messages), messages=messages)
        for messages in prompts(seed, count)
    ]


def starter(seed: int, folder: Path) -> Path:
    """A small starter model, trained in the folder; where it is."""
    folder.mkdir()
    config = KINDS["pretrain"].settings(**STARTER).model_dump()
    for _event in pretrain(
        RunSpec(kind="pretrain", run=1, epoch=1, seed=seed, config=config, inputs={}), folder
    ):
        pass
    return folder / "output"


def selections(seeds: int, chosen: int) -> dict[str, object]:
    """Held-out accuracy of reward models of as many labels, less that of labels chosen by chance."""
    found: dict[SelectionName, list[float]] = {name: [] for name in CHOICES}
    with TemporaryDirectory() as name:
        backbone = starter(0, Path(name) / "starter")
        for seed in range(seeds):
            labels = preferences(seed, POOL + HELD)
            for choice, row in found.items():
                row.append(accuracy(backbone, labels, choice, seed, chosen))
    gaps = {
        choice: paired_estimate(found["random"], row).model_dump()
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
    asked, found = answers(seed + 1, 20 * count), list[PairRecord]()
    cards = (
        {"kind": "compare", "prompt": one.prompt.text, "items": one.completions} for one in asked
    )
    for ranking, answer in zip(asked, answers_to(cards, seed), strict=True):
        left, right = ranking.completions
        choice = answer["choice"]
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
    parser.add_argument(
        "--only", choices=["sweeps", "bandits", "ranks", "selections"], help="one of them"
    )
    parser.add_argument("--seeds", type=int, default=0, help="instead of the usual ones")
    parser.add_argument("--steps", type=int, default=54, help="of every trial and population")
    options = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    parts = {
        "sweeps": lambda: sweeps(options.seeds or 5, options.steps),
        "bandits": lambda: bandits(options.seeds or 10, options.steps),
        "ranks": lambda: ranks(options.seeds or 5),
        "selections": lambda: selections(options.seeds or 12, 80),
    }
    print(
        json.dumps({name: part() for name, part in parts.items() if options.only in (None, name)})
    )


if __name__ == "__main__":
    main()
