"""Fitting a reward model to labels: the sum of one likelihood per kind, as one loss of the loop of all training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alignment.kinds.reward.settings import RewardConfig
from alignment.models import checkpoints
from alignment.models.bounds import HELD_OUT, HELD_RIGHT
from alignment.models.distributed import shard
from alignment.models.gradients import Part
from alignment.models.lora import trained
from alignment.models.sharding import is_spread
from alignment.models.training import Parts, StepLoss, Trainee
from alignment.reward.examples import Example, scored
from alignment.reward.measures import preferences_told
from alignment.reward.model import TOKENS, RewardModel, tokens_at_once
from alignment.reward.observation import Observation
from alignment.sampling.scoring import packed
from alignment.seam.records import PairRecord, RankingRecord
from alignment.seam.words import _

HEAD_RATE = 10  # of the trunk's: the head starts near zero and has to move first
OBSERVATION_RATE = 0.05  # of numbers of order 1, which have to get there within few steps
DAMAGED = _("The backbone itself gives no finite scores; take another one.")


@dataclass(frozen=True)
class RewardTrainee:
    """A reward model that learns, with what its labels are seen through."""

    reward: RewardModel
    observation: Observation
    trunk: Trainee | None = None  # what of the backbone learns, and how it is kept

    @property
    def model(self) -> nn.Module:
        """What learns, or may: backbone, heads, and what lies between rewards and labels."""
        return nn.ModuleDict({"trunk": self.reward.trunk.model, **self._modules})

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"head": self.reward.head, "observation": self.observation}

    def parts(self, config: RewardConfig) -> list[Part]:
        """What learns at which rate; priors, not decay, hold what the labels are seen through."""
        rate, decay = config.learning_rate, config.weight_decay
        heads, between = (list(module.parameters()) for module in self._modules.values())
        return [
            Part(list(trained(self.reward.trunk.model).values()), rate, decay),
            Part(heads, HEAD_RATE * rate, decay),
            Part(between, OBSERVATION_RATE, clipped=False),
        ]

    def kept(self) -> tuple[Mapping[str, checkpoints.Saved], dict[str, Tensor]]:
        """What a checkpoint keeps: backbone, or its adapter, heads, and what labels are seen through."""
        folders, tensors = self.trunk.kept() if self.trunk else ({}, dict[str, Tensor]())
        for name, module in self._modules.items():
            tensors |= checkpoints.named(name, module.state_dict())
        return folders, tensors

    def restore(self, checkpoint: Path, tensors: Mapping[str, Tensor]) -> None:
        """Give the weights the values of a checkpoint."""
        if self.trunk:
            self.trunk.restore(checkpoint, tensors)
        for name, module in self._modules.items():
            module.load_state_dict(checkpoints.below(name, tensors))


def label_step(one: RewardTrainee, examples: Sequence[Example], draws: Tensor) -> StepLoss:
    """The loss of a batch of labels, whose weights are draws (labels, heads); the prior is added once."""
    model, observation = one.reward, one.observation

    def step(batch: Sequence[int]) -> Parts:
        mine, share = shard(batch)
        ours = [examples[row] for row in mine]
        compared = sum(_is_compared(examples[row]) for row in batch)
        prior = share * observation.prior() / len(examples)
        for part in in_parts(model, ours):
            some, weights = [ours[place] for place in part], draws[[mine[place] for place in part]]
            scores = scored(model, some)
            likelihood = loss_of(observation, scores, some, weights)
            told = _told_of(scores.detach(), some, compared) if compared else {}
            loss = share * likelihood * len(part) / len(ours) + prior
            yield loss, {name: value * (share > 0) for name, value in told.items()}
            prior = torch.zeros_like(prior)

    return step


def in_parts(model: RewardModel, batch: Sequence[Example]) -> Iterator[list[int]]:
    """Places of labels of similar length, by forwards; all at once for a model that is held in parts."""
    if is_spread(model.trunk.model):
        yield list(range(len(batch)))
    else:
        most = min(TOKENS, tokens_at_once(model.trunk.device))
        yield from packed([model.tokens_of(one.texts) for one in batch], most)


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


def glance(one: RewardTrainee, held: Sequence[Example]) -> Callable[[], dict[str, float]]:
    """What held-out labels say while others teach.

    The loss is that of the heads' mean, which will be the reward: all heads are kept from one step, as they share
    a backbone, and their disagreement is no part of it.
    """

    @torch.no_grad()
    def look() -> dict[str, float]:
        scores = scored(one.reward, held)
        loss = one.observation.nll(scores.mean(1, keepdim=True), held).mean().item()
        told = preferences_told(scores, held)
        return {HELD_OUT: loss} | ({HELD_RIGHT: told.right.mean().item()} if told.pairs else {})

    return look


def leads(scores: Tensor, batch: Sequence[Example]) -> Tensor:
    """(comparisons,) how far the heads' mean puts the better answer ahead; of a ranking its best before its worst."""
    ends = [0]
    rows = []
    for example in batch:
        ends.append(ends[-1] + len(example.texts))
        if isinstance(example.label, PairRecord | RankingRecord):
            best, worst = extremes(example.label)
            rows.append((ends[-2] + best, ends[-2] + worst))
    if not rows:
        return scores.new_zeros(0)
    better, worse = scores.mean(1)[torch.tensor(rows, device=scores.device)].unbind(1)
    return better - worse


def _told_of(scores: Tensor, batch: Sequence[Example], compared: int) -> dict[str, float]:
    """What a part of a batch adds to the means over its so many comparisons."""
    ahead = leads(scores, batch)
    sums = torch.stack([(ahead > 0).float().sum(), -F.logsigmoid(ahead).sum()]) / compared
    return dict(zip(("preference/accuracy", "preference/nll"), sums.tolist(), strict=True))


def _is_compared(example: Example) -> bool:
    return isinstance(example.label, PairRecord | RankingRecord)


def extremes(label: PairRecord | RankingRecord) -> tuple[int, int]:
    """Which of a label's texts is the best, and which the worst."""
    if isinstance(label, PairRecord):
        return 0, 1
    places = range(len(label.ranks))
    return min(places, key=label.ranks.__getitem__), max(places, key=label.ranks.__getitem__)
