"""A controller of computing: whether a trial is given its next steps, learned from curves that were recorded.

A trial at a rung is in a state: which rung, where it stands among those that came there, and whether it gains
faster than they do. To go on costs its steps, and to end with more than the best so far is worth that gain. What
either is worth in each state is learned by Q-learning (Watkins 1989) on sweeps that are played from recorded
curves, in one order after another; nothing is drawn from what the controller is then tried on.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from webapp.sweeps.space import AtRung

EPISODES = 400  # sweeps that are played
RATE, EXPLORED = 0.1, 0.15
PRICE = 0.1  # of a whole trial's steps, in spreads of the recorded scores
FEWEST_CURVES = 8
UNSEEN = 0.0  # worth of going on in a state that nobody came to: as much as stopping


class Recorded(NamedTuple):
    """A run that was: its curve at the rungs, the larger the better, and its score, likewise."""

    heights: tuple[float, ...]
    score: float


State = tuple[int, int, int]
Worth = dict[State, float]


def state_of(heights: Sequence[float], others: Sequence[Sequence[float]]) -> State:
    """Of a trial that has come to a rung after others, whose heights at the same rungs are told.

    The rung; its place among all of it: best, upper third, middle, lower; and whether it gained more since the
    rung before than the middle one of them.
    """
    rung = len(heights) - 1
    there = [row for row in others if len(row) > rung]
    above = sum(row[rung] > heights[rung] for row in there)
    place = 0 if not above else 1 + min(2, 3 * above // (len(there) + 1))
    if not rung or not there:
        return rung, place, 0
    gains = sorted(row[rung] - row[rung - 1] for row in there)
    quick = heights[rung] - heights[rung - 1] >= gains[len(gains) // 2]
    return rung, place, 1 if quick else 2


def learned_worth(recorded: Sequence[Recorded], shares: Sequence[float], seed: int = 0) -> Worth:
    """How much more going on is worth than stopping, by state; `shares` are the rungs' of a trial's steps."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    scores = [one.score for one in recorded]
    spread = max(scores) - min(scores) or 1.0
    worth: Worth = {}
    for _ in range(EPISODES):
        order = chance.sample(recorded, len(recorded))
        _play(order, [*shares, 1.0], spread, worth, chance)
    return worth


def _play(
    order: Sequence[Recorded],
    shares: Sequence[float],
    spread: float,
    worth: Worth,
    chance: random.Random,
) -> None:
    """One sweep over recorded trials, from each of which is learned what going on was worth."""
    seen: list[tuple[float, ...]] = []
    best = min(one.score for one in order)
    for one in order:
        climbed = 0
        for rung in range(len(one.heights)):
            climbed = rung + 1
            here = state_of(one.heights[:climbed], seen)
            if not _tries(worth, here, chance):
                break
            cost = PRICE * (shares[rung + 1] - shares[rung])
            if climbed == len(one.heights):
                gained = max(0.0, one.score - best) / spread
                best = max(best, one.score)
            else:
                gained = max(0.0, worth.get(state_of(one.heights[: climbed + 1], seen), UNSEEN))
            known = worth.get(here, UNSEEN)
            worth[here] = known + RATE * (gained - cost - known)
        seen.append(one.heights[:climbed])


def _tries(worth: Worth, here: State, chance: random.Random) -> bool:
    """Go on where that is worth something, and sometimes where it is not, to learn what it would be."""
    return chance.random() < EXPLORED or worth.get(here, UNSEEN) >= 0


def controlled(worth: Mapping[State, float], arrivals: Sequence[AtRung], *, larger: bool) -> bool:
    """Whether the last that arrived at a rung goes on; the first of a sweep always does."""
    last = arrivals[-1]
    rows: dict[int, list[float]] = {}
    for one in arrivals:
        if one.value is None:
            if one is last:
                return False
            continue
        rows.setdefault(one.trial, []).append(one.value if larger else -one.value)
    own = rows.pop(last.trial)
    return not rows or worth.get(state_of(own, list(rows.values())), UNSEEN) >= 0


def stored(worth: Mapping[State, float]) -> list[list[float]]:
    """As a row has it."""
    return [[*state, value] for state, value in sorted(worth.items())]


def restored(rows: Sequence[Sequence[float]]) -> Worth:
    """What `stored` gave."""
    return {(int(rung), int(place), int(pace)): value for rung, place, pace, value in rows}


def at_shares(
    points: Sequence[tuple[int, float]], total: int, shares: Sequence[float]
) -> Iterator[float]:
    """A curve at each share of all its steps, as rungs have it: its mean since half of the way there."""
    for share in shares:
        before = [(step, value) for step, value in points if step <= share * total]
        late = [value for step, value in before if step > share * total / 2]
        yield fmean(late) if late else (before or points[:1])[-1][1]
