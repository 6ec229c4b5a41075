"""Plackett and Luce's model of rankings as a loss of a policy: f-DPO of whole rankings, without a reward model.

With r = beta f'(e^u) + a constant of the prompt as in `maths.preferences`, a ranking has the probability
prod_i e^r_i / sum of e^r over it and what ranks below (Rafailov et al., 2023, appendix A.3, for reverse KL);
of two completions that is f-DPO.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.kinds.prefer.settings import PreferConfig
from alignment.maths.likelihoods import plackett_luce_nll
from alignment.maths.preferences import score_of
from alignment.models.distributed import shard
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of, written
from alignment.models.training import StepLoss, in_parts, scored
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.records import PairRecord, RankingRecord


@dataclass(frozen=True)
class RankedAnswers:
    """Completions of a prompt, the best first, with their ranks and the reference's log-probabilities of them."""

    key: str
    rows: tuple[Written, ...]
    ranks: tuple[int, ...]
    references: tuple[float, ...]

    @property
    def chosen(self) -> Written:
        """The best of them."""
        return self.rows[0]

    @property
    def length(self) -> int:
        """Tokens of the longest."""
        return max(row.length for row in self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all of them."""
        return sum(row.length for row in self.rows)


def rankings_of(
    reference: Policy, records: Sequence[PairRecord | RankingRecord]
) -> list[RankedAnswers]:
    """The rankings as tokens, a pair as one of two, with what the reference says of each completion."""
    found = [_in_order(reference, record) for record in records]
    known = iter(scored(reference, [row for rows, _ranks in found for row in rows]).tolist())
    return [
        RankedAnswers(record.prompt.key, rows, ranks, tuple(next(known) for _row in rows))
        for record, (rows, ranks) in zip(records, found, strict=True)
    ]


def _in_order(
    reference: Policy, record: PairRecord | RankingRecord
) -> tuple[tuple[Written, ...], tuple[int, ...]]:
    """The completions of a record and their ranks, the best first."""
    if isinstance(record, PairRecord):
        told = [(0, record.chosen), (1, record.rejected)]
    else:
        told = sorted(zip(record.ranks, record.completions, strict=True), key=lambda one: one[0])
    rows = tuple(written(reference, record.prompt.messages, text) for _rank, text in told)
    return rows, tuple(rank for rank, _text in told)


def ranking_step(
    policy: Policy, reference: Policy, rankings: Sequence[RankedAnswers], config: PreferConfig
) -> StepLoss:
    """The loss of a batch of rankings."""

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        tokens = sum(len(rankings[place].chosen.completion) for place in batch)
        mine, share = shard(batch)
        ours = [rankings[place] for place in mine]
        for part in in_parts(policy, [len(one.rows) * one.length for one in ours]):
            weight = share * len(part) / len(ours)
            some = [ours[place] for place in part]
            scores, ranks, mask, chosen = _told(policy, some, config)
            loss = weight * plackett_luce_nll(scores, ranks, mask).mean()
            loss = loss - config.sft_weight * (share > 0) * chosen.sum() / tokens
            right = _best_ahead(scores.detach(), ranks, mask)
            yield loss, {"preference/accuracy": weight * right.mean().item()}

    return step


@torch.no_grad()
def ranking_losses(
    policy: Policy, rankings: Sequence[RankedAnswers], config: PreferConfig
) -> tuple[Tensor, Tensor]:
    """(n,) losses of rankings, and how often the best of each is ahead of what ranks below it."""
    scores, ranks, mask, _chosen = _told(policy, rankings, config)
    return plackett_luce_nll(scores, ranks, mask).cpu(), _best_ahead(scores, ranks, mask).cpu()


def _told(
    policy: Policy, rankings: Sequence[RankedAnswers], config: PreferConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(n, k) implied rewards with gradient, ranks, which places are taken; (n,) log-probabilities of the best."""
    rows = [row for one in rankings for row in one.rows]
    logps = completion_token_logps(policy.model, rollouts_of(policy, rows)).sum(1)
    references = logps.new_tensor([known for one in rankings for known in one.references])
    implied = score_of(config.divergence, config.alpha)(logps - references)
    if config.per_token:
        implied = implied / logps.new_tensor([len(row.completion) for row in rows])
    sizes = [len(one.rows) for one in rankings]
    table = torch.nn.utils.rnn.pad_sequence(
        list(torch.split(config.beta * implied, sizes)), batch_first=True
    )
    counts = torch.tensor(sizes, device=logps.device)
    mask = torch.arange(table.shape[1], device=logps.device) < counts[:, None]
    ranks = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(one.ranks, device=logps.device) for one in rankings], batch_first=True
    )
    return table, ranks, mask, torch.stack([part[0] for part in torch.split(logps, sizes)])


def _best_ahead(scores: Tensor, ranks: Tensor, mask: Tensor) -> Tensor:
    """(n,) of the completions that rank below the best, the share with less of a reward than it."""
    below = mask & (ranks > ranks[:, :1])
    ahead = (scores[:, :1] > scores).double() + 0.5 * (scores[:, :1] == scores).double()
    return (ahead * below).sum(1) / below.sum(1).clamp(min=1)
