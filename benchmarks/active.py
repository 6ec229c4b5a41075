"""Labels to the same accuracy where pairs are chosen by what they would teach, and how far a forecast of more labels holds.

Simulated people compare answers of the small world, which are told by their words. An ensemble of linear heads learns from labels, each with weights and a prior of its own, and chooses what is asked next just as a run of the kind `score`
does. Accuracy is over held-out prompts, on labels of the same people. In a simulated project, a forecast is made
from one reward model's learning curve, then people give 500 labels more.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from alignment.maths.acquisition import design_order, ensemble_order, preference_information
from alignment.maths.designs import random_rows
from alignment.maths.estimators import clipped, grouped_interval
from alignment.reward.candidates import pairs_among
from alignment.seam.records import Message, PromptRecord, StoredRecord, prompt_key
from alignment.world.grammar import documents
from benchmarks.intervals import geometric_ratio
from webapp.demo.annotators import answers_to
from webapp.home.advice import point_of
from webapp.results.learning_curves import gain_of, value_after

PROMPTS, HELD, ANSWERS = 1000, 1500, 4  # to choose from, to measure by, and answers of each
WIDTH, FEWEST = 64, 5  # components of the words that so many answers have
WORD = re.compile("[a-z]+")
DRAWN = 28_000  # answers, to have several to enough prompts
HEADS, ROUNDS = 8, 40  # of the bound's method: each takes the loss down
BEGIN, BATCH, MOST = 20, 20, 400  # labels
GOAL = 200  # labels by chance, whose accuracy is to be reached
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
    places: Tensor  # (pairs, 2) of answers
    said: Tensor  # (pairs,)

    @property
    def decided(self) -> Tensor:
        """The numbers of the pairs of which somebody preferred one."""
        return (~self.said.isnan()).nonzero()[:, 0]

    def contrasts(self, numbers: Tensor) -> Tensor:
        """(numbers, width) what a linear head is told by these pairs."""
        first, second = self.places[numbers].unbind(1)
        return self.features[first] - self.features[second]

    def prompts(self, numbers: Tensor) -> list[str]:
        """The prompt of each of these pairs."""
        return [self.rows[place].prompt.key for place in self.places[numbers, 0].tolist()]


def pools(seed: int) -> tuple[Pool, Pool]:
    """What is chosen from, and what measures; of different prompts, with features of one scale."""
    found: dict[str, dict[str, None]] = {}
    turns = {}
    for messages, text in documents(seed + 1, DRAWN):
        asked = messages[-1].content
        turns[asked] = messages
        found.setdefault(asked, {})[text] = None
    several = [(turns[one], [*texts][:ANSWERS]) for one, texts in found.items()]
    several = [one for one in several if len(one[1]) == ANSWERS][: PROMPTS + HELD]
    assert len(several) == PROMPTS + HELD
    sets = [
        [row for turn, texts in part for row in _answers(turn, texts[:most])]
        for part, most in ((several[:PROMPTS], ANSWERS), (several[PROMPTS:], 2))
    ]
    both = zip(sets, features_of(*sets), (seed, seed + 1000), strict=True)
    one, other = (judged(rows, features, number) for rows, features, number in both)
    return one, other


def _answers(messages: tuple[Message, ...], texts: Sequence[str]) -> list[StoredRecord]:
    """Answers to a prompt."""
    record = PromptRecord(key=prompt_key(messages), messages=messages)
    return [StoredRecord(prompt=record, completion=text) for text in texts]


def features_of(
    rows: Sequence[StoredRecord], others: Sequence[StoredRecord]
) -> tuple[Tensor, Tensor]:
    """(answers, WIDTH + 3) of both: the main components of the words, and length, repetition and words of the prompt.

    What is said of the second goes by the first; the mean square of a feature is 1.
    """
    often = Counter(word for row in rows for word in {*words_of(row.completion)})
    known = {word: place for place, word in enumerate(w for w, n in often.items() if n >= FEWEST)}
    counts, marks = zip(*(_counts(part, known) for part in (rows, others)), strict=True)
    centre = counts[0].mean(0)
    axes = torch.linalg.svd(counts[0] - centre, full_matrices=False).Vh[:WIDTH].T
    main = [(one - centre) @ axes for one in counts]
    size = main[0].square().mean().sqrt()
    own = [(one - marks[0].mean(0)) / marks[0].std(0) for one in marks]
    one, other = (torch.cat([part / size, mark], 1) for part, mark in zip(main, own, strict=True))
    return one, other


def _counts(rows: Sequence[StoredRecord], known: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """(answers, words) the roots of how often words occur, and (answers, 3) what is said of all of them."""
    counts = torch.zeros(len(rows), len(known), dtype=torch.float64)
    marks = torch.zeros(len(rows), 3, dtype=torch.float64)
    for place, row in enumerate(rows):
        words, asked = words_of(row.completion), {*words_of(row.prompt.text)}
        for word in words:
            if word in known:
                counts[place, known[word]] += 1
        marks[place, 0] = len(words)
        marks[place, 1] = len({*words}) / max(1, len(words))
        marks[place, 2] = sum(word in asked for word in words)
    return counts.sqrt(), marks


def words_of(text: str) -> list[str]:
    """In small letters."""
    return WORD.findall(text.lower())


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
    return Pool(rows, features, torch.tensor(pairs), said)


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
    numbers = torch.tensor(asked)
    told = numbers[~pool.said[numbers].isnan()]
    return fit_heads(pool.contrasts(told), pool.said[told], pool.prompts(told), seed)


def rightness(held: Pool, heads: Tensor) -> Tensor:
    """(decided,) whether the ensemble's mean prefers what people prefer: 1 or 0."""
    margins = held.contrasts(held.decided) @ heads.mean(0)
    return ((margins > 0).double() == held.said[held.decided]).double()


def accuracy(held: Pool, heads: Tensor) -> float:
    """How often it does."""
    return rightness(held, heads).mean().item()


Way = Callable[[Pool, Tensor, Tensor, Tensor], list[int]]  # heads, who is free, who was asked


def by_chance(_pool: Pool, _heads: Tensor, _free: Tensor, _asked: Tensor) -> list[int]:
    """Any: their order is random already."""
    return list(range(BATCH))


def by_ensemble(pool: Pool, heads: Tensor, free: Tensor, _asked: Tensor) -> list[int]:
    """As together they tell most of the heads."""
    return ensemble_order(pool.contrasts(free) @ heads.T, BATCH)


def by_information(pool: Pool, heads: Tensor, free: Tensor, _asked: Tensor) -> list[int]:
    """As each by itself does."""
    margins = pool.contrasts(free) @ heads.T
    return preference_information(margins).argsort(descending=True)[:BATCH].tolist()


def by_design(pool: Pool, heads: Tensor, free: Tensor, asked: Tensor) -> list[int]:
    """As they tell most of the weights, beside those that were asked."""
    contrasts, known = pool.contrasts(free), pool.contrasts(asked)
    return design_order(contrasts, contrasts @ heads.T, BATCH, (known, known @ heads.T))


WAYS: Mapping[str, Way] = {
    "random": by_chance,
    "ensemble": by_ensemble,
    "design": by_design,
    "bald_alone": by_information,
}


def curve(pool: Pool, held: Pool, way: Way, seed: int) -> list[float]:
    """Held-out accuracy after BEGIN labels by chance, and after each batch that was chosen then."""
    generator = torch.Generator().manual_seed(seed)
    order = random_rows(len(pool.places), len(pool.places), generator)
    asked, found = order[:BEGIN], list[float]()
    while True:
        heads = learned(pool, asked, seed)
        found.append(accuracy(held, heads))
        if len(asked) >= MOST:
            return found
        gone = set(asked)
        free = [one for one in order if one not in gone]
        chosen = way(pool, heads, torch.tensor(free), torch.tensor(asked))
        asked = asked + [free[place] for place in chosen]


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


def savings(seeds: int) -> dict[str, object]:
    """Labels that each way takes to the accuracy of GOAL labels by chance, over those that chance takes."""
    needed: dict[str, list[float]] = {name: [] for name in WAYS}
    heights: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for seed in range(seeds):
        pool, held = pools(seed)
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
    order = random_rows(len(pool.places), labels + MORE, generator)
    places = [int(key[8:16], 16) / 16**8 for key in pool.prompts(torch.tensor(order))]
    fitted = [one for one, place in zip(order, places, strict=True) if place >= HELD_SHARE]
    out = [one for one, place in zip(order[:labels], places, strict=False) if place < HELD_SHARE]
    now, more = labels - len(out), len(fitted) - labels + len(out)
    own = replace(pool, places=pool.places[out], said=pool.said[out])
    told = []
    for number in (round(share * now) for share in SHARES):
        right = rightness(own, learned(pool, fitted[:number], seed)).tolist()
        found = clipped(grouped_interval(right, own.prompts(own.decided)))
        told += filter(None, [point_of(number, found.model_dump())])
    truth = [accuracy(held, learned(pool, fitted[:number], seed)) for number in (now, now + more)]
    after = value_after(tuple(told), now + more, 1.0)
    gain = gain_of(tuple(told), now, more, 1.0)
    return Checked((after.low, after.high), (gain.low, gain.high), truth[1], truth[1] - truth[0])


def forecasts(projects: int) -> dict[str, object]:
    """How often the intervals of a forecast hold what comes, and how wide they are; a project of each size in each world."""
    found: list[Checked] = []
    for world in range(ceil(projects / len(SIZES))):
        pool, held = pools(500 + world)
        sizes = SIZES[: projects - len(found)]
        found += [project(pool, held, size, 100 * world + size) for size in sizes]
    count = len(found)
    return {
        "projects": count,
        "covered": {
            name: sum(one.covers[name] for one in found) / count for name in ("after", "gain")
        },
        "width": {
            "after": sum(one.after[1] - one.after[0] for one in found) / count,
            "gain": sum(one.gain[1] - one.gain[0] for one in found) / count,
        },
        "gained": sum(one.true_gain for one in found) / count,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["savings", "forecasts"], help="one of them")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--projects", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "savings": lambda: savings(options.seeds),
        "forecasts": lambda: forecasts(options.projects),
    }
    print(json.dumps({one: part() for one, part in parts.items() if options.only in (None, one)}))


if __name__ == "__main__":
    main()
