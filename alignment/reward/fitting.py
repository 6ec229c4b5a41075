"""Fitting a reward model to labels: the sum of one likelihood per kind, by AdamW."""

import math
import time
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from alignment.kinds.reward.settings import RewardConfig
from alignment.models.batches import similar_lengths
from alignment.models.distributed import all_sum, clip, gathered, shard
from alignment.models.gradients import adamw, exchange
from alignment.models.schedules import share_of_peak
from alignment.models.sharding import is_spread, spread
from alignment.reward.examples import Example, scored
from alignment.reward.model import TOKENS, RewardModel
from alignment.reward.observation import Observation
from alignment.sampling.scoring import packed
from alignment.seam.errors import DivergedError
from alignment.seam.records import PairRecord, RankingRecord
from alignment.seam.words import _

WARMUP = 0.1  # share of the steps
HEAD_RATE = 10  # of the trunk's: the head starts near zero and has to move first
OBSERVATION_RATE = 0.05  # of numbers of order 1, which have to get there within few steps


def steps_of(config: RewardConfig, labels: int) -> int:
    """How many steps a fit to so many labels takes."""
    return config.epochs * math.ceil(labels / config.batch)


def fit(
    model: RewardModel, observation: Observation, examples: Sequence[Example]
) -> Iterator[dict[str, float]]:
    """Train in place; the metrics of each step. Raises DivergedError. Uses torch's RNG."""
    config = observation.config
    total = steps_of(config, len(examples))
    spread(model.trunk.model)
    draws = resampled(examples, model.head.out_features).to(model.trunk.device)
    optimizer = optimizer_of(model, observation)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, total))
    lengths = [example.length for example in examples]
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    batches = (batch for epoch in epochs for batch in epoch)
    for step, rows in enumerate(batches, start=1):
        started = time.perf_counter()
        rate = float(schedule.get_last_lr()[0])
        mine, share = shard(rows)
        batch = [examples[row] for row in mine]
        optimizer.zero_grad()
        prior = share * observation.prior() / len(lengths)
        loss, scores = backward(model, observation, batch, draws[mine], share, prior)
        told = exchange(optimizer)
        clip(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        everyones = gathered(scores[: len(scores) if share else 0])
        metrics = read_off(all_sum(loss), everyones, [examples[row] for row in rows])
        if not math.isfinite(metrics["loss"]):
            raise DivergedError(diverged(metrics["loss"], step, total))
        yield metrics | told | {"lr": rate, "seconds/step": time.perf_counter() - started}


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
        yield from packed([one.length * len(one.texts) for one in batch], TOKENS)


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
    """The mean over labels and heads of their negative log-likelihoods, each by its weight."""
    weights = observation.weights(batch)[:, None] * draws
    return (weights * observation.nll(scores, batch)).mean()


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
    groups = [
        {"params": list(model.trunk.model.parameters()), "lr": config.learning_rate},
        {"params": list(model.head.parameters()), "lr": HEAD_RATE * config.learning_rate},
        {"params": list(observation.parameters()), "lr": OBSERVATION_RATE, "weight_decay": 0.0},
    ]
    return adamw(groups, config, weight_decay=config.weight_decay)


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
