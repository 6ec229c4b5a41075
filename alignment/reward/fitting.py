"""Fitting a reward model to labels: the sum of one likelihood per kind, by AdamW."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alignment.kinds.reward.settings import RewardConfig
from alignment.models import checkpoints
from alignment.models.batches import similar_lengths
from alignment.models.distributed import all_sum, clip, gathered, shard
from alignment.models.gradients import adamw, exchange
from alignment.models.lora import dropping, trained
from alignment.models.schedules import share_of_peak
from alignment.models.sharding import is_spread
from alignment.models.training import PRIME, Trainee, by_step
from alignment.reward.examples import Example, scored
from alignment.reward.model import TOKENS, RewardModel, tokens_at_once
from alignment.reward.observation import Observation
from alignment.sampling.scoring import packed
from alignment.seam.errors import DivergedError
from alignment.seam.events import Event
from alignment.seam.records import PairRecord, RankingRecord
from alignment.seam.words import _

WARMUP = 0.1  # share of the steps
HEAD_RATE = 10  # of the trunk's: the head starts near zero and has to move first
OBSERVATION_RATE = 0.05  # of numbers of order 1, which have to get there within few steps


def steps_of(config: RewardConfig, labels: int) -> int:
    """How many steps a fit to so many labels takes."""
    return config.epochs * math.ceil(labels / config.batch)


@dataclass(frozen=True)
class RewardFit:
    """A fit on its way, and all that decides its next step; steps count from 1 and are taken in their order."""

    model: RewardModel
    observation: Observation
    examples: Sequence[Example]
    draws: Tensor  # (labels, heads), weights of the labels
    optimizer: torch.optim.Optimizer
    batch_of: Callable[[int], Sequence[int]]  # the labels of a step
    trunk: Trainee | None = None  # what of the backbone learns, and how it is kept
    seed: int = 0  # of an adapter's dropout

    @property
    def total(self) -> int:
        """How many steps it takes."""
        return steps_of(self.observation.config, len(self.examples))

    def take(self, step: int) -> dict[str, float]:
        """Train in place; the metrics of this step. Raises DivergedError."""
        started = time.perf_counter()
        share_now = _share(step - 1, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share_now
        rows = self.batch_of(step)
        mine, share = shard(rows)
        batch = [self.examples[row] for row in mine]
        self.optimizer.zero_grad()
        prior = share * self.observation.prior() / len(self.examples)
        with dropping(self.model.trunk.model, PRIME * self.seed + step):
            loss, scores = backward(
                self.model, self.observation, batch, self.draws[mine], share, prior
            )
        told = exchange(self.optimizer)
        norm = clip(self.model.parameters(), 1.0)
        self.optimizer.step()
        everyones = gathered(scores[: len(scores) if share else 0])
        metrics = read_off(all_sum(loss), everyones, [self.examples[row] for row in rows])
        if not math.isfinite(metrics["loss"]):
            raise DivergedError(diverged(metrics["loss"], step, self.total))
        rate = float(self.optimizer.param_groups[0]["lr"])
        known = {"grad/norm": norm, "lr": rate, "seconds/step": time.perf_counter() - started}
        return metrics | told | known

    def save(self, step: int, folder: Path) -> Event:
        """Commit a checkpoint below a run's folder: backbone, heads, what labels are seen through, moments."""
        folders, tensors = self.trunk.kept() if self.trunk else ({}, {})
        parts = {
            "optimizer": checkpoints.optimizer_tensors(self.optimizer),
            **{name: module.state_dict() for name, module in self._modules.items()},
        }
        for name, part in parts.items():
            tensors |= checkpoints.named(name, part)
        return checkpoints.save(folder, step, folders, tensors, {})

    def restore(self, checkpoint: Path) -> int:
        """Go on from a checkpoint; how many steps were done."""
        tensors, facts = checkpoints.load(checkpoint)
        if self.trunk:
            self.trunk.restore(checkpoint, tensors)
        for name, module in self._modules.items():
            module.load_state_dict(checkpoints.below(name, tensors))
        checkpoints.restore_optimizer(self.optimizer, checkpoints.below("optimizer", tensors))
        return int(facts["step"])

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"head": self.model.head, "observation": self.observation}


def begin_fit(
    model: RewardModel,
    observation: Observation,
    examples: Sequence[Example],
    trunk: Trainee | None = None,
    seed: int = 0,
) -> RewardFit:
    """A fit before its first step. Uses torch's RNG, for the labels' weights now and for each epoch's batches later."""
    config = observation.config
    draws = resampled(examples, model.head.out_features).to(model.trunk.device)
    lengths = [example.length for example in examples]
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    batch_of = by_step(batch for epoch in epochs for batch in epoch)
    optimizer = optimizer_of(model, observation)
    return RewardFit(model, observation, examples, draws, optimizer, batch_of, trunk, seed)


def backward(
    model: RewardModel,
    observation: Observation,
    batch: Sequence[Example],
    draws: Tensor,
    share: float,
    prior: Tensor,
) -> tuple[Tensor, Tensor]:
    """Take the gradient of a batch's loss, part after part; the loss, and all scores (texts, heads).

    The likelihoods' mean weighs `share`, draws are (labels, heads), and the prior is added once.
    """
    total, pieces = torch.zeros((), device=draws.device), dict[int, Tensor]()
    for part in in_parts(model, batch):
        some = [batch[place] for place in part]
        scores = scored(model, some)
        likelihood = loss_of(observation, scores, some, draws[part])
        loss = share * likelihood * len(part) / len(batch) + prior
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        total, prior = total + loss.detach(), torch.zeros_like(prior)
        each = torch.split(scores.detach(), [len(example.texts) for example in some])
        pieces |= dict(zip(part, each, strict=True))
    return total, torch.cat([pieces[place] for place in range(len(batch))])


def in_parts(model: RewardModel, batch: Sequence[Example]) -> Iterator[list[int]]:
    """Places of labels of similar length, by forwards; all at once for a model that is held in parts."""
    if is_spread(model.trunk.model):
        yield list(range(len(batch)))
    else:
        most = min(TOKENS, tokens_at_once(model.trunk.device))
        yield from packed([model.tokens_of(one.texts) for one in batch], most)


def diverged(loss: float, step: int, total: int) -> str:
    """What can be done about a loss that is no number: before the first step nothing was learned."""
    way_out = (
        _("The backbone itself gives no finite scores; take another one.")
        if step == 1
        else _("Try a lower learning rate.")
    )
    return f"The loss was {loss} at step {step} of {total}. {way_out}"


def loss_of(
    observation: Observation, scores: Tensor, batch: Sequence[Example], draws: Tensor
) -> Tensor:
    """The mean over labels and heads of their negative log-likelihoods, each by its weight.

    With a pull towards zero its weight times (2 mean score of a label)^2 adds to each: of a pair, that of the sum.
    """
    weights = observation.weights(batch)[:, None] * draws
    losses = observation.nll(scores, batch)
    if pull := observation.config.centring_penalty:
        each = torch.split(scores, [len(example.texts) for example in batch])
        losses = losses + pull * torch.stack([2 * part.mean(0) for part in each]).square()
    return (weights * losses).mean()


def resampled(examples: Sequence[Example], heads: int) -> Tensor:
    """(labels, heads) weights: 1 for one head, else exponential draws, common to a prompt's labels.

    The Bayesian bootstrap (Rubin, 1981): each head learns from a population of its own.
    """
    if heads == 1:
        return torch.ones(len(examples), 1)
    places: dict[str, int] = {}
    for example in examples:
        places.setdefault(example.prompt_key, len(places))
    draws = -torch.rand(len(places), heads).clamp(min=1e-12).log()
    return draws[[places[example.prompt_key] for example in examples]]


def optimizer_of(model: RewardModel, observation: Observation) -> torch.optim.Optimizer:
    """AdamW with a rate for each part; priors, not decay, hold what the labels are seen through."""
    config = observation.config
    rate, decay = config.learning_rate, config.weight_decay
    learning = list(trained(model.trunk.model).values())
    parts = [
        (learning, rate, decay),
        (list(model.head.parameters()), HEAD_RATE * rate, decay),
        (list(observation.parameters()), OBSERVATION_RATE, 0.0),
    ]
    groups = [
        {"params": params, "lr": peak, "peak": peak, "weight_decay": decay}
        for params, peak, decay in parts
        if params
    ]
    return adamw(groups, config)


def read_off(loss: Tensor, scores: Tensor, batch: Sequence[Example]) -> dict[str, float]:
    """A step's metrics, with one wait for the device; a ranking's best and worst are a pair."""
    ends = [0]
    rows = []
    for example in batch:
        ends.append(ends[-1] + len(example.texts))
        if isinstance(example.label, PairRecord | RankingRecord):
            best, worst = extremes(example.label)
            rows.append((ends[-2] + best, ends[-2] + worst))
    if not rows:
        return {"loss": loss.item()}
    left, right = scores.mean(1)[torch.tensor(rows, device=scores.device)].unbind(1)
    margins = left - right
    values = torch.stack([loss, (margins > 0).float().mean(), -F.logsigmoid(margins).mean()])
    return dict(
        zip(("loss", "preference/accuracy", "preference/nll"), values.tolist(), strict=True)
    )


def extremes(label: PairRecord | RankingRecord) -> tuple[int, int]:
    """Which of a label's texts is the best, and which the worst."""
    if isinstance(label, PairRecord):
        return 0, 1
    places = range(len(label.ranks))
    return min(places, key=label.ranks.__getitem__), max(places, key=label.ranks.__getitem__)


def _share(step: int, total: int) -> float:
    """Warm-up, then down to zero, as a share of the peak."""
    warmup = max(1, round(WARMUP * total))
    return share_of_peak(step, total, rising=warmup, falling=max(1, total - warmup))
