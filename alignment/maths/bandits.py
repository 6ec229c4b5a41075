"""Sharing out a budget among arms by what each has gained of its share: Thompson sampling, Exp3, or equally.

An arm's gain is how much of its start divergence a unit of the budget has taken away. Gains shrink as arms come
near their end, so what is known of them fades.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch

from alignment.kinds.population.settings import SharingName

FEWEST = 2  # of every arm: a baseline leaves one out, and who draws nothing is not measured
FADING = 0.95  # of what is known, at each step
EXPLORED = 0.2  # share of Exp3's draws that goes to all arms alike
FLOOR = 1e-12  # of a variance


@dataclass
class Arm:
    """What is known of one: its gains so far and, since the last step, where it stood with which share."""

    count: float = 0.0  # steps, faded
    gain: float = 0.0  # sum of gains, faded
    square: float = 0.0  # of their squares
    log_weight: float = 0.0  # Exp3's
    chance: float = 1.0  # at which Exp3 gives it a unit in this step
    first: float | None = None  # divergence at its first step
    last: float | None = None  # at the last step
    share: int = 0  # units of that step's budget
    weighed: float = 0.0  # its part of that budget over its chance of it

    @property
    def mean(self) -> float:
        """Its mean gain."""
        return self.gain / self.count

    @property
    def variance(self) -> float:
        """Of one gain."""
        return max(self.square / self.count - self.mean**2, FLOOR)


@dataclass
class Bandit:
    """The arms by name; all of it is plain numbers, so that a checkpoint holds it."""

    rule: SharingName = "equal"
    arms: dict[str, Arm] = field(default_factory=dict)
    largest: float = 0.0  # gain so far, by its size: Exp3's are told in parts of it

    @classmethod
    def restored(cls, facts: Mapping[str, Any]) -> Self:
        """What `facts` gave."""
        arms = {name: Arm(**arm) for name, arm in facts["arms"].items()}
        return cls(facts["rule"], arms, facts["largest"])

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def shares(self, total: int, names: Sequence[str], generator: torch.Generator) -> list[int]:
        """How much of the budget each of these arms gets: FEWEST at least, all of it together."""
        arms = [self.arms.setdefault(name, Arm()) for name in names]
        counts, left = [FEWEST] * len(arms), total - FEWEST * len(arms)
        if left < 0:
            raise ValueError(f"a budget of {total} is too small for {len(arms)} arms")
        for place in self._draws(arms, left, generator):
            counts[place] += 1
        return counts

    def _draws(self, arms: Sequence[Arm], left: int, generator: torch.Generator) -> list[int]:
        """Which arm gets each unit that is left."""
        if self.rule == "exp3":
            return self._by_weights(arms, left, generator)
        if self.rule == "equal" or min(arm.count for arm in arms) < 2:
            return [place % len(arms) for place in range(left)]
        noise = torch.randn(left, len(arms), generator=generator, dtype=torch.float64)
        spread = math.sqrt(sum(arm.variance for arm in arms) / len(arms))
        means = torch.tensor([arm.mean for arm in arms], dtype=torch.float64)
        errors = torch.tensor([spread / math.sqrt(arm.count) for arm in arms])
        found: list[int] = (means + errors * noise).argmax(1).tolist()
        return found

    def _by_weights(self, arms: Sequence[Arm], left: int, generator: torch.Generator) -> list[int]:
        """Auer et al. 2002, “The nonstochastic multiarmed bandit problem”: each unit is one of Exp3's draws."""
        weights = torch.tensor([arm.log_weight for arm in arms], dtype=torch.float64).softmax(0)
        chances = (1 - EXPLORED) * weights + EXPLORED / len(arms)
        for arm, chance in zip(arms, chances.tolist(), strict=True):
            arm.chance = chance
        if not left:
            return []
        drawn: list[int] = chances.multinomial(left, True, generator=generator).tolist()  # noqa: FBT003 - torch's
        return drawn

    def learn(self, divergences: Mapping[str, float], shares: Mapping[str, int]) -> None:
        """Where the arms stand now, before what they do with these shares takes effect."""
        total = sum(shares.values())
        for name, now in divergences.items():
            arm = self.arms.setdefault(name, Arm())
            if not math.isfinite(now):
                continue
            if arm.last is not None and arm.first:
                self._told(arm, (arm.last - now) / abs(arm.first) / arm.share, len(divergences))
            arm.first = now if arm.first is None else arm.first
            arm.last, arm.share = now, shares[name]
            arm.weighed = shares[name] / total / arm.chance

    def _told(self, arm: Arm, gain: float, arms: int) -> None:
        arm.count = FADING * arm.count + 1
        arm.gain = FADING * arm.gain + gain
        arm.square = FADING * arm.square + gain**2
        self.largest = max(self.largest, abs(gain))
        reward = 0.5 + 0.5 * gain / self.largest if self.largest else 0.5  # from 0 to 1
        arm.log_weight += EXPLORED / arms * reward * arm.weighed
