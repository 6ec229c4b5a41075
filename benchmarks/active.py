"""Labels to the same accuracy where pairs are chosen by what they would teach, and how far a forecast of more labels holds.

Simulated people compare answers of the small world. A starter model's features are computed once; an ensemble of linear heads
learns from labels, each with weights and a prior of its own, and chooses what is asked next just as a run of the kind `score`
does. Accuracy is over held-out prompts, on labels of the same people. In a simulated project, a forecast is made
from one reward model's learning curve, then people give 500 labels more.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from transformers.utils import logging

from alignment.maths.designs import random_rows
from alignment.maths.estimators import clipped, grouped_interval
from alignment.reward.candidates import Candidates, ordered_pairs, pairs_among
from alignment.reward.model import RewardModel
from alignment.seam.records import PromptRecord, ProposedRecord, StoredRecord, prompt_key
from alignment.world.grammar import documents
from benchmarks.allocate import starter
from benchmarks.intervals import geometric_ratio
from webapp.demo.annotators import answers_to
from webapp.home.advice import point_of
from webapp.results.learning_curves import gain_of, value_after

PROMPTS, HELD, ANSWERS = 1000, 1500, 4  # to choose from, to measure by, and answers of each
DRAWN = 28_000  # answers, to have several to enough prompts
HEADS, ROUNDS = 8, 40  # of the bound's method: each takes the loss down
BEGIN, BATCH, MOST = 40, 20, 400  # labels
GOAL = 300  # labels by chance, whose accuracy is to be reached
REPEATS = 3  # of chance, whose curve is the mean
PEOPLE = 8
MORE = 500  # labels that a forecast is about
HELD_SHARE, SHARES = 0.2, (0.25, 0.5, 1.0)  # as a reward run's
SIZES = (200, 300, 400, 600, 800)  # labels of a project, when the forecast is made


@dataclass(frozen=True)
class Pool:
    """Answers with their features, pairs of them, and what somebody said of each: 1 the first, 0 the second, nan neither."""

    rows: list[StoredRecord]
    features: Tensor  # (answers, width)
    pairs: list[tuple[int, int]]
    said: Tensor  # (pairs,)

    def contrasts(self, numbers: Sequence[int]) -> Tensor:
        """(numbers, width) what a linear head is told by these pairs."""
        first, second = torch.tensor([self.pairs[number] for number in numbers]).unbind(1)
        return self.features[first] - self.features[second]

    def prompts(self, numbers: Sequence[int]) -> list[str]:
        """The prompt of each of these pairs."""
        return [self.rows[self.pairs[number][0]].prompt.key for number in numbers]


def pools(folder: Path, seed: int) -> tuple[Pool, Pool]:
    """What is chosen from, and what measures; of different prompts, with features of one scale."""
    found: dict[str, dict[str, StoredRecord]] = {}
    for messages, text in documents(seed + 1, DRAWN):
        record = PromptRecord(key=prompt_key(messages), messages=messages)
        found.setdefault(record.key, {})[text] = StoredRecord(prompt=record, completion=text)
    several = [list(one.values())[:ANSWERS] for one in found.values() if len(one) >= ANSWERS]
    model = RewardModel.fresh(folder)
    chosen, held = several[:PROMPTS], [one[:2] for one in several[PROMPTS : PROMPTS + HELD]]
    assert len(held) == HELD
    sets = [[row for one in part for row in one] for part in (chosen, held)]
    features = [features_of(model, rows) for rows in sets]
    mean, spread = features[0].mean(0), features[0].std(0).clamp(min=1e-6)
    both = zip(sets, features, (seed, seed + 1000), strict=True)
    one, other = (judged(rows, (x - mean) / spread, number) for rows, x, number in both)
    return one, other


def features_of(model: RewardModel, rows: Sequence[StoredRecord]) -> Tensor:
    """(answers, width) what a head would read, before anything is learned."""
    prompts, texts = [row.prompt.messages for row in rows], [row.completion for row in rows]
    return model.features(model.read_all(prompts, texts)).double()


def judged(rows: list[StoredRecord], features: Tensor, seed: int) -> Pool:
    """All pairs of answers to the same prompt, each judged by one of several people."""
    pairs = pairs_among(rows, [], torch.Generator().manual_seed(seed)).free
    said = torch.full((len(pairs),), torch.nan, dtype=torch.float64)
    for person in range(PEOPLE):
        mine = range(person, len(pairs), PEOPLE)
        cards = (
            {
                "kind": "compare",
                "prompt": rows[pairs[number][0]].prompt.text,
                "items": [rows[place].completion for place in pairs[number]],
            }
            for number in mine
        )
        for number, answer in zip(mine, answers_to(cards, 100 * seed + person), strict=True):
            if answer["choice"] not in (0, 4):
                said[number] = float(answer["choice"] < 4)
    return Pool(rows, features, pairs, said)


def fit_heads(contrasts: Tensor, said: Tensor, prompts: Sequence[str], seed: int) -> Tensor:
    """(heads, width) of logistic regressions, each drawn to a random prior and with random weights of the prompts.

    The prior's deviation gives margins of about one nat; the weights are the Bayesian bootstrap's, as reward models have them.
    The curvature is bounded from above (Böhning and Lindsay, 1988), so no step goes too far.
    """
    generator = torch.Generator().manual_seed(seed)
    width = contrasts.shape[1]
    prior = float(width)
    anchors = torch.randn(HEADS, width, generator=generator, dtype=torch.float64) / prior**0.5
    numbers = {key: number for number, key in enumerate(dict.fromkeys(prompts))}
    draws = -torch.rand(len(numbers), HEADS, generator=generator, dtype=torch.float64).log()
    weights = draws[[numbers[key] for key in prompts]]  # (labels, heads)
    found = anchors.clone()
    bend = torch.einsum("nh,nd,ne->hde", weights / 4, contrasts, contrasts)  # p (1 - p) is no more
    factor = torch.linalg.cholesky(bend + prior * torch.eye(width, dtype=torch.float64))
    for _ in range(ROUNDS):
        wrong = weights * ((contrasts @ found.T).sigmoid() - said[:, None])
        slope = wrong.T @ contrasts + prior * (found - anchors)
        found = found - torch.cholesky_solve(slope[..., None], factor)[..., 0]
    return found


def learned(pool: Pool, asked: Sequence[int], seed: int) -> Tensor:
    """(heads, width) from the answers to these pairs; those that prefer neither are spent for nothing."""
    told = [number for number in asked if not pool.said[number].isnan()]
    return fit_heads(pool.contrasts(told), pool.said[told], pool.prompts(told), seed)


def rightness(held: Pool, heads: Tensor) -> tuple[list[float], list[str]]:
    """Whether the ensemble's mean prefers what people prefer, and the prompt of each."""
    known = [number for number in range(len(held.pairs)) if not held.said[number].isnan()]
    margins = held.contrasts(known) @ heads.mean(0)
    return ((margins > 0).double() == held.said[known]).double().tolist(), held.prompts(known)


def accuracy(held: Pool, heads: Tensor) -> float:
    """How often it does."""
    right, _prompts = rightness(held, heads)
    return sum(right) / len(right)


def by_chance(pool: Pool, _heads: Tensor, free: list[int], _asked: list[int]) -> list[int]:
    """Any of those nobody was asked about: their order is random already."""
    return free[:BATCH]


def by_scores(
    pool: Pool,
    heads: Tensor,
    free: list[int],
    asked: list[int],
    key: Callable[[ProposedRecord], float],
) -> list[int]:
    """The first of what a run of the kind `score` proposes, in one of its orders."""
    among = Candidates([pool.pairs[one] for one in free], [pool.pairs[one] for one in asked])
    found = ordered_pairs(among, pool.features, pool.features @ heads.T, BATCH)
    order = sorted(range(len(found)), key=lambda place: key(found[place]))
    return [free[place] for place in order[:BATCH]]


def place_in(order: str, one: ProposedRecord) -> float:
    """Its place in an order; behind all others where it is not among the first."""
    found = getattr(one, f"by_{order}")
    return float("inf") if found is None else found


Way = Callable[[Pool, Tensor, list[int], list[int]], list[int]]
WAYS: Mapping[str, Way] = {
    "random": by_chance,
    "ensemble": partial(by_scores, key=partial(place_in, "ensemble")),
    "design": partial(by_scores, key=partial(place_in, "design")),
    "bald_alone": partial(by_scores, key=lambda one: -one.information),
}


def curve(pool: Pool, held: Pool, way: Way, seed: int) -> list[float]:
    """Held-out accuracy after BEGIN labels by chance, and after each batch that was chosen then."""
    generator = torch.Generator().manual_seed(seed)
    order = random_rows(len(pool.pairs), len(pool.pairs), generator)
    asked, found = order[:BEGIN], list[float]()
    while True:
        heads = learned(pool, asked, seed)
        found.append(accuracy(held, heads))
        if len(asked) >= MOST:
            return found
        gone = set(asked)
        asked = asked + way(pool, heads, [one for one in order if one not in gone], asked)


def labels_to(goal: float, heights: Sequence[float]) -> float:
    """How many labels it takes to come to an accuracy, on a curve that is made to rise; MOST where it does not."""
    steps, best = smooth(heights), 0.0
    rising = [best := max(best, one) for one in steps]
    for place, height in enumerate(rising):
        if height >= goal:
            before = rising[place - 1] if place else height
            part = (goal - before) / (height - before) if height > before else 1.0
            return BEGIN + BATCH * max(0.0, place - 1 + part)
    return float(MOST)


def smooth(heights: Sequence[float]) -> list[float]:
    """The mean of each with its neighbours."""
    parts = (heights[max(0, place - 1) : place + 2] for place in range(len(heights)))
    return [sum(part) / len(part) for part in parts]


def savings(folder: Path, seeds: int) -> dict[str, object]:
    """Labels that each way takes to the accuracy of GOAL labels by chance, over those that chance takes."""
    needed: dict[str, list[float]] = {name: [] for name in WAYS}
    heights: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for seed in range(seeds):
        pool, held = pools(folder, seed)
        for name, way in WAYS.items():
            repeats = REPEATS if name == "random" else 1
            each = [curve(pool, held, way, 10 * seed + again) for again in range(repeats)]
            heights[name].append([sum(row) / repeats for row in zip(*each, strict=True)])
        goal = smooth(heights["random"][-1])[(GOAL - BEGIN) // BATCH]
        for name, row in needed.items():
            row.append(labels_to(goal, heights[name][-1]))
    ratios = {name: geometric_ratio(row, needed["random"]) for name, row in needed.items()}
    means = {
        name: [round(sum(row) / seeds, 4) for row in zip(*found, strict=True)]
        for name, found in heights.items()
    }
    return {
        "labels_ratio": {name: ratio for name, ratio in ratios.items() if name != "random"},
        "labels": {name: sum(row) / seeds for name, row in needed.items()},
        "not_reached": {name: sum(one >= MOST for one in row) for name, row in needed.items()},
        "accuracy_by_labels": means,
        "seeds": seeds,
    }


@dataclass(frozen=True)
class Checked:
    """What a forecast of MORE labels said of the accuracy and of its gain, and what came."""

    after: tuple[float, float]
    gain: tuple[float, float]
    true_after: float
    true_gain: float

    @property
    def covers(self) -> dict[str, bool]:
        """Whether each interval holds the truth."""
        return {
            "after": self.after[0] <= self.true_after <= self.after[1],
            "gain": self.gain[0] <= self.true_gain <= self.gain[1],
        }


def project(pool: Pool, held: Pool, labels: int, seed: int) -> Checked:
    """One project: labels by chance, a learning curve over a fifth of its prompts, its forecast, and MORE labels."""
    generator = torch.Generator().manual_seed(seed)
    order = random_rows(len(pool.pairs), labels + MORE, generator)
    keys = sorted(set(pool.prompts(range(len(pool.pairs)))))
    apart = {key for key in keys if int(key[8:16], 16) / 16**8 < HELD_SHARE}
    inside = [one in apart for one in pool.prompts(order)]
    fitted = [one for one, out in zip(order, inside, strict=True) if not out]
    now = sum(not out for out in inside[:labels])
    measured = [one for one, out in zip(order[:labels], inside, strict=False) if out]
    own = Pool(pool.rows, pool.features, [pool.pairs[one] for one in measured], pool.said[measured])
    points = []
    for share in SHARES:
        number = round(share * now)
        found = clipped(grouped_interval(*rightness(own, learned(pool, fitted[:number], seed))))
        points.append(point_of(number, found.model_dump()))
    told, more = tuple(one for one in points if one), len(fitted) - now
    truth = [accuracy(held, learned(pool, fitted[:number], seed)) for number in (now, len(fitted))]
    after, gain = value_after(told, now + more, 1.0), gain_of(told, now, more, 1.0)
    return Checked((after.low, after.high), (gain.low, gain.high), truth[1], truth[1] - truth[0])


def forecasts(folder: Path, projects: int) -> dict[str, object]:
    """How often the intervals of a forecast hold what comes, and how wide they are."""
    found = []
    for number in range(projects):
        pool, held = pools(folder, 500 + number)
        found.append(project(pool, held, SIZES[number % len(SIZES)], number))
    return {
        "projects": projects,
        "covered": {
            name: sum(one.covers[name] for one in found) / projects for name in ("after", "gain")
        },
        "width": {
            "after": sum(one.after[1] - one.after[0] for one in found) / projects,
            "gain": sum(one.gain[1] - one.gain[0] for one in found) / projects,
        },
        "gained": sum(one.true_gain for one in found) / projects,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["savings", "forecasts"], help="one of them")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--projects", type=int, default=50)
    options = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        folder = starter(0, Path(name) / "starter")
        parts = {
            "savings": lambda: savings(folder, options.seeds),
            "forecasts": lambda: forecasts(folder, options.projects),
        }
        chosen = {one: part for one, part in parts.items() if options.only in (None, one)}
        print(json.dumps({one: part() for one, part in chosen.items()}))


if __name__ == "__main__":
    main()
