"""How labels arise from rewards: one likelihood per kind of label, with its free parameters."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from alignment.kinds.reward.settings import RewardConfig
from alignment.maths.likelihoods import (
    annotator_prior,
    bradley_terry_nll,
    davidson_nll,
    lapsed_nll,
    plackett_luce_nll,
    rao_kupper_nll,
    ratings_nll,
    rising,
    thumbs_nll,
)
from alignment.reward.examples import Example
from alignment.seam.records import (
    LabelRecord,
    PairRecord,
    RankingRecord,
    RatingRecord,
    ThumbRecord,
    TieRecord,
)

USUAL_LAPSE = 0.05
Compared = PairRecord | TieRecord
Term = Callable[[Tensor, Tensor, Sequence[Any]], Tensor]  # the labels are of its own kind
TIES = {"davidson": davidson_nll, "rao_kupper": rao_kupper_nll}


class Observation(nn.Module):
    """What lies between rewards and labels: how readily people tie, mark, lapse, favour a side."""

    def __init__(self, config: RewardConfig, labels: Sequence[LabelRecord]) -> None:
        super().__init__()
        self.config = config
        self.tie = nn.Parameter(torch.zeros(()))
        self.thumb = nn.Parameter(torch.zeros(()))  # the reward of an answer that half find good
        scales = {label.levels for label in labels if isinstance(label, RatingRecord)}
        self.cuts = nn.ParameterDict({str(n): nn.Parameter(_even(n)) for n in sorted(scales)})
        names = sorted({label.annotator for label in labels if isinstance(label, Compared)})
        self.annotators = {name: place for place, name in enumerate(names)}
        self.log_scales = nn.Parameter(torch.zeros(len(names)))
        self.sides = nn.Parameter(torch.zeros(len(names)))
        usual = math.log(USUAL_LAPSE / (1 - USUAL_LAPSE))
        self.lapse_logits = nn.Parameter(torch.full((len(names),), usual))

    @property
    def with_annotators(self) -> bool:
        """Whether annotators differ."""
        return self.config.annotators == "reliability"

    def nll(self, scores: Tensor, examples: Sequence[Example]) -> Tensor:
        """(labels, heads) nats, from scores (texts, heads) of the labels' completions in order."""
        return torch.stack([self._nll(head, examples) for head in scores.unbind(1)], 1)

    def prior(self) -> Tensor:
        """Minus log of the priors of the annotators' parameters; 0 where they do not differ."""
        if not self.with_annotators:
            return self.log_scales.new_zeros(())
        return annotator_prior(self.log_scales, self.sides, self.lapse_logits)

    def reliabilities(self, labels: Sequence[LabelRecord]) -> list[dict[str, object]]:
        """A row per annotator: scale (1 is usual), liking for the left in nats, share of blind labels."""
        given = Counter(label.annotator for label in labels if isinstance(label, Compared))
        columns = self.log_scales.exp(), self.sides, self.lapse_logits.sigmoid()
        numbers = torch.stack(columns, 1).tolist()
        return [
            {
                "annotator": name,
                "labels": given[name],
                "scale": scale,
                "left": left,
                "lapses": lapses,
            }
            for name, (scale, left, lapses) in zip(self.annotators, numbers, strict=True)
        ]

    def weights(self, examples: Sequence[Example]) -> Tensor:
        """(labels,) how many labels each counts as."""
        strong = self.config.strength == "weigh"
        counts = [
            float(e.label.strength) if strong and isinstance(e.label, PairRecord) else 1.0
            for e in examples
        ]
        return torch.tensor(counts, device=self.tie.device)

    def _nll(self, scores: Tensor, examples: Sequence[Example]) -> Tensor:
        terms: dict[str, Term] = {
            "pair": self._compared,
            "tie": self._compared,
            "ranking": self._ranked,
            "thumb": self._thumbed,
            "rating": self._rated,
        }
        starts = [0, *accumulate(len(example.texts) for example in examples)]
        rows: list[int] = []
        parts = []
        for kind, term in terms.items():
            found = [row for row, e in enumerate(examples) if e.label.kind == kind]
            if found:
                first = torch.tensor([starts[row] for row in found], device=scores.device)
                parts.append(term(scores, first, [examples[row].label for row in found]))
                rows += found
        return torch.cat(parts)[torch.tensor(rows, device=scores.device).argsort()]

    def _compared(self, scores: Tensor, first: Tensor, labels: Sequence[Compared]) -> Tensor:
        """Pairs and ties, by Bradley and Terry's model or one with ties."""
        margins = scores[first] - scores[first + 1]
        if self.config.margins == "subtract" and any(map(_lead, labels)):
            margins = margins - _floats(scores, list(map(_lead, labels)))
        if self.with_annotators:
            who = _ints(scores, [self.annotators[label.annotator] for label in labels])
            stood = _floats(scores, [_stood(label) for label in labels])
            margins = self.log_scales.exp()[who] * margins + stood * self.sides[who]
        outcomes = _ints(scores, [int(isinstance(label, PairRecord)) for label in labels])
        losses, flipped = self._outcome_nll(margins, outcomes), self.config.flipped
        if flipped:
            losses = (1 - flipped) * losses + flipped * self._outcome_nll(margins, -outcomes)
        if self.with_annotators:
            choices = 2 if self.config.ties == "drop" else 3
            losses = lapsed_nll(losses, self.lapse_logits.sigmoid()[who], choices)
        return losses

    def _outcome_nll(self, margins: Tensor, outcomes: Tensor) -> Tensor:
        """Nats of outcomes 1 the first, 0 neither, -1 the second."""
        if self.config.ties == "drop":
            return bradley_terry_nll(margins * outcomes)
        return TIES[self.config.ties](margins, outcomes, self.tie)

    def _ranked(self, scores: Tensor, first: Tensor, labels: Sequence[RankingRecord]) -> Tensor:
        counts = _ints(scores, [len(label.ranks) for label in labels])
        width = int(max(len(label.ranks) for label in labels))
        steps = torch.arange(width, device=scores.device)
        ranks = [[*label.ranks, *[0] * (width - len(label.ranks))] for label in labels]
        places = (first[:, None] + steps).clamp(max=len(scores) - 1)
        return plackett_luce_nll(scores[places], _ints(scores, ranks), steps < counts[:, None])

    def _thumbed(self, scores: Tensor, first: Tensor, labels: Sequence[ThumbRecord]) -> Tensor:
        good = _ints(scores, [label.good for label in labels]).bool()
        return thumbs_nll(scores[first] - self.thumb, good)

    def _rated(self, scores: Tensor, first: Tensor, labels: Sequence[RatingRecord]) -> Tensor:
        """Marks, each scale with cuts of its own."""
        levels = _ints(scores, [label.levels for label in labels])
        marks = _ints(scores, [label.rating - 1 for label in labels])
        losses = torch.zeros_like(scores[first])
        for name, cuts in self.cuts.items():
            on = (levels == int(name)).nonzero()[:, 0]
            losses = losses.index_copy(
                0, on, ratings_nll(scores[first[on]], marks[on], rising(cuts))
            )
        return losses


def _stood(label: Compared) -> float:
    """1 where the first of the two stood left, -1 right, 0 where no sides were shown."""
    if isinstance(label, TieRecord):
        return 1.0
    return 0.0 if label.left_won is None else 2.0 * label.left_won - 1


def _lead(label: Compared) -> float:
    """By how many nats the first of the two should be ahead."""
    return label.margin if isinstance(label, PairRecord) else 0.0


def _even(levels: int) -> Tensor:
    """Free numbers of cuts (levels - 1,) at which a reward of 0 gets every mark as often."""
    cuts = torch.linspace(0, 1, levels + 1)[1:-1].logit()
    return torch.cat([cuts[:1], cuts.diff().expm1().log()])


def _ints(like: Tensor, values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=like.device)


def _floats(like: Tensor, values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
