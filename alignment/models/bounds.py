"""How far a training is, what it has seen of held-out examples, and what ends it before its last step."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from alignment.kinds.settings.evaluation import LookSettings
from alignment.models import checkpoints
from alignment.models.lora import load_trained, trained
from alignment.models.sharding import full, parted_like
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

HELD_OUT = "heldout/loss"  # the metric by which the best weights are known
HELD_RIGHT = "heldout/accuracy"


class Bounded(Protocol):
    """Settings that bound a training."""

    @property
    def most_minutes(self) -> float:
        """After how many minutes it ends; 0: after any number."""

    @property
    def token_bound(self) -> int:
        """After how many tokens it ends; 0: after any number."""


@dataclass(frozen=True)
class HeldOut:
    """Examples that are looked at while others teach: how often, what they say, and what follows from it."""

    measure: Callable[[], Mapping[str, float]]  # HELD_OUT among them; draws no random numbers
    config: LookSettings

    @classmethod
    def of(
        cls, measure: Callable[[], Mapping[str, float]], config: LookSettings, count: int
    ) -> "HeldOut | None":
        """What is looked at, where that was asked for; raises ConfigError where there is nothing."""
        if not config.evaluate_every:
            return None
        if not count:
            raise ConfigError(
                _(
                    "Nothing is held out to look at while the model learns: hold out a share, give an evaluation "
                    "of its own, or set evaluate_every to 0."
                )
            )
        return cls(measure, config)

    def is_due(self, step: int, total: int) -> bool:
        """Whether it is looked at after a step."""
        return step % self.config.evaluate_every == 0 or step == total


@dataclass
class BestWeights:
    """What learned, as the look with the least loss found it; `worse` counts the looks since."""

    step: int
    loss: float
    worse: int
    weights: dict[str, Tensor]


@dataclass
class TrainingProgress:
    """What was done so far; a checkpoint holds all of it."""

    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0
    best: BestWeights | None = None
    stopped_by: str = ""  # once it is over

    def spent(self, config: Bounded) -> float:
        """The share of the nearest bound of time or tokens that is used up; 0 where there is none."""
        time = self.seconds / (60 * config.most_minutes) if config.most_minutes else 0.0
        return max(time, self.tokens / config.token_bound if config.token_bound else 0.0)

    def ended_by(self, config: Bounded, held: HeldOut | None = None) -> str:
        """Which bound is reached; empty while none is."""
        if 0 < 60 * config.most_minutes <= self.seconds:
            return "minutes"
        if 0 < config.token_bound <= self.tokens:
            return "tokens"
        patience = held.config.patience if held else 0
        return "patience" if self.best and 0 < patience <= self.best.worse else ""

    def look(self, held: HeldOut, model: nn.Module, step: int) -> Mapping[str, float]:
        """Measure, and keep the weights where their loss is the least so far; what was measured."""
        found = held.measure()
        loss = found[HELD_OUT] if math.isfinite(found[HELD_OUT]) else math.inf
        if self.best is None or loss < self.best.loss:
            keeps = held.config.keeps_best
            kept = {n: w.detach().clone() for n, w in trained(model).items()} if keeps else {}
            self.best = BestWeights(step, loss, 0, kept)
        else:
            self.best.worse += 1
        return found

    def finish(self, reason: str, model: nn.Module) -> None:
        """Note what ended the training, and give the weights those of the best look, where they were kept."""
        self.stopped_by = reason or "steps"
        if self.best and self.best.weights:
            load_trained(model, self.best.weights)

    @property
    def kept(self) -> int:
        """After how many steps the weights were as they are kept."""
        return self.best.step if self.best and self.best.weights else self.steps

    @property
    def told(self) -> dict[str, Any]:
        """What a summary says of it: nothing of a training that went to its last step and kept that."""
        found: dict[str, Any] = {}
        if self.stopped_by != "steps":
            found["stopped_by"] = self.stopped_by
        if self.best and self.best.weights:
            found["best_step"] = self.best.step
        return found

    def stored(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and facts for a checkpoint."""
        facts: dict[str, Any] = {"seconds": self.seconds, "tokens": self.tokens}
        if self.best is None:
            return {}, facts
        best = {"step": self.best.step, "loss": self.best.loss, "worse": self.best.worse}
        weights = {name: full(weight) for name, weight in self.best.weights.items()}
        return checkpoints.named("best", weights), facts | {"best": best}

    def restore(
        self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], model: nn.Module
    ) -> None:
        """The inverse of `stored`; versions before this one stored none."""
        self.steps = facts.get("step", 0)
        self.seconds, self.tokens = facts.get("seconds", 0.0), facts.get("tokens", 0)
        if "best" in facts:
            now = trained(model)
            weights = {
                name: parted_like(now[name], tensor.to(now[name].device))
                for name, tensor in checkpoints.below("best", tensors).items()
            }
            self.best = BestWeights(**facts["best"], weights=weights)
