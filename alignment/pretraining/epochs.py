"""Optimizer steps over a corpus, for so many epochs, tokens or minutes; resumed, the same steps bit by bit."""

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.models import checkpoints
from alignment.models.distributed import all_max, all_sums, clip, shard
from alignment.models.gradients import adamw, decaying, exchange
from alignment.models.policies import Policy
from alignment.models.schedules import share_of_peak
from alignment.models.stepping import Loop, check_finite, steps
from alignment.models.training import backward, in_parts
from alignment.pretraining.corpus import order_of
from alignment.pretraining.packing import Stream, pack, token_rows
from alignment.pretraining.prediction import IGNORED, Objective, Prediction, label_losses
from alignment.seam.events import Event

BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.1  # of matrices
LEAST = 0.05  # share of the learning rate's peak, at the end
LONGEST_GRADIENT = 1.0


@dataclass(frozen=True)
class StepPlan:
    """Which rows of a stream each step reads; steps count from 1."""

    rows: Tensor  # (n, 2)
    batch: int
    seed: int
    total: int  # steps

    @classmethod
    def of(cls, config: PretrainConfig, rows: Tensor, seed: int) -> "StepPlan":
        """As many epochs as the settings say, or as reach their bound of tokens."""
        plan = cls(rows, config.batch, seed, config.epochs * math.ceil(len(rows) / config.batch))
        if not config.most_tokens:
            return plan
        seen = 0
        for step in range(1, plan.total + 1):
            seen += plan.tokens(step)
            if seen >= config.most_tokens:
                return cls(rows, config.batch, seed, step)
        return plan

    @property
    def per_epoch(self) -> int:
        """Steps of one pass."""
        return math.ceil(len(self.rows) / self.batch)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each row that are new in it."""
        found: list[int] = (self.rows[:, 1] - self.rows[:, 0] - 1).tolist()
        return found

    def places(self, step: int) -> list[int]:
        """The rows of a step."""
        epoch, place = divmod(step - 1, self.per_epoch)
        order = _order(len(self.rows), epoch, self.seed)
        return order[place * self.batch : (place + 1) * self.batch]

    def tokens(self, step: int) -> int:
        """How many tokens of the corpus a step reads."""
        return sum(self.lengths[place] for place in self.places(step))


@lru_cache(maxsize=2)
def _order(rows: int, epoch: int, seed: int) -> list[int]:
    return order_of(rows, epoch, seed)


@dataclass
class Progressed:
    """What was done so far."""

    seconds: float = 0.0
    tokens: int = 0


@dataclass
class Pretraining:
    """A policy that learns a stream by an objective."""

    policy: Policy
    config: PretrainConfig
    objective: Objective
    stream: Stream
    plan: StepPlan
    folder: Path
    done: Progressed = field(default_factory=Progressed)

    def __post_init__(self) -> None:
        weights = [one for one in self.policy.model.parameters() if one.requires_grad]
        groups = decaying(weights, WEIGHT_DECAY)
        self.optimizer = adamw(groups, self.config, lr=self.config.peak_rate, betas=BETAS)

    def course(self, first: int) -> Generator[Event, str | None, str | None]:
        """All steps from behind this one; "save" where that was asked for and done."""
        every = self.config.checkpoint_every
        loop = Loop(self.plan.total, self.take, self.save, every, over=self.is_over)
        return (yield from steps(loop, first))

    def take(self, step: int) -> dict[str, float]:
        """One optimizer step; its metrics."""
        started = time.perf_counter()
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        metrics = backward(self.losses(self.examples(step)))
        told = exchange(self.optimizer)
        norm = clip(self.policy.model.parameters(), LONGEST_GRADIENT)
        metrics = all_sums(metrics)
        check_finite(step, metrics["loss"], norm)
        self.optimizer.step()
        seconds = all_max(torch.tensor(time.perf_counter() - started, dtype=torch.float64)).item()
        tokens = self.plan.tokens(step)
        self.done.seconds, self.done.tokens = self.done.seconds + seconds, self.done.tokens + tokens
        return (
            metrics
            | told
            | {
                "grad/norm": norm,
                "lr": rate,
                "seconds/step": seconds,
                "tokens/second": tokens / seconds,
            }
        )

    def examples(self, step: int) -> list[Prediction]:
        """What a step reads, in every process the same; the step and the seed alone decide it."""
        generator = torch.Generator().manual_seed(1_000_003 * step + self.plan.seed)
        rows = token_rows(self.stream, self.plan.rows[self.plan.places(step)])
        return self.objective.examples(rows, generator)

    def losses(self, examples: Sequence[Prediction]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        """The mean loss over all labels of a step, part by part."""
        told = max(1, sum(int((one.labels != IGNORED).sum()) for one in examples))
        mine, share = shard(examples)
        for part in in_parts(self.policy, [one.size for one in mine]):
            some = [mine[place] for place in part]
            found = label_losses(self.policy, some, masked=self.objective.masked)
            yield torch.cat(found).sum() * (share > 0) / told, {}

    def rate(self, step: int) -> float:
        """The learning rate of a step: of the bounds, the one that is nearest decides how far it is."""
        total = self.plan.total
        at = step - 1
        if self.config.most_minutes:
            at = max(at, int(total * self.done.seconds / (60 * self.config.most_minutes)))
        rising = round(self.config.warmup * total)
        falling = max(1, total - rising)
        share = share_of_peak(
            min(at, total), total, rising=rising, falling=falling, shape="cosine", least=LEAST
        )
        return self.config.peak_rate * share

    def is_over(self) -> bool:
        """Whether the minutes are spent."""
        return 0 < self.config.most_minutes * 60 <= self.done.seconds

    def save(self, step: int) -> Event:
        """Commit a checkpoint below the run folder."""
        tensors = checkpoints.named("optimizer", checkpoints.optimizer_tensors(self.optimizer))
        facts = {
            "seconds": self.done.seconds,
            "tokens": self.done.tokens,
            "counts": dict(self.objective.counts),
        }
        return checkpoints.save(
            self.folder, step, {checkpoints.POLICY: self.policy}, tensors, facts
        )

    def restore(self, checkpoint: Path) -> int:
        """Give the optimizer and the counts those of a checkpoint, whose policy this has; its step."""
        tensors, facts = checkpoints.load(checkpoint)
        checkpoints.restore_optimizer(self.optimizer, checkpoints.below("optimizer", tensors))
        self.done = Progressed(facts["seconds"], facts["tokens"])
        self.objective.counts.update(facts["counts"])
        return int(facts["step"])


def packed_rows(stream: Stream, context: int, objective: Objective) -> Tensor:
    """The rows of a stream that a step may read."""
    return pack(stream.ends, context, objective.apart)
