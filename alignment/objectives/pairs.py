"""Pairs that people judged, as tokens, with what a reference says of them; the losses are in `maths.preferences`."""

from collections.abc import Sequence
from dataclasses import dataclass

from alignment.maths.preferences import Sides
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of, written
from alignment.models.training import scored
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.progress import through
from alignment.seam.records import PairRecord


@dataclass(frozen=True)
class Pair:
    """Two completions of a prompt with the reference's log-probabilities of both."""

    key: str
    chosen: Written
    rejected: Written
    chosen_reference: float
    rejected_reference: float

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(self.chosen.length, self.rejected.length)

    @property
    def tokens(self) -> int:
        """Tokens of both."""
        return self.chosen.length + self.rejected.length


def pairs_of(reference: Policy, records: Sequence[PairRecord]) -> list[Pair]:
    """The pairs as tokens, with the log-probabilities that the reference gives them."""
    chosen = [written(reference, r.prompt.messages, r.chosen) for r in records]
    rejected = [written(reference, r.prompt.messages, r.rejected) for r in records]
    known = (scored(reference, side).tolist() for side in through((chosen, rejected), 2))
    keys = [record.prompt.key for record in records]
    return [Pair(*row) for row in zip(keys, chosen, rejected, *known, strict=True)]


def sides_of(policy: Policy, pairs: Sequence[Pair]) -> Sides:
    """What the losses know of the chosen and of the rejected completions, with gradient."""
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    logps = completion_token_logps(policy.model, rollouts_of(policy, rows)).sum(1)
    known = [p.chosen_reference for p in pairs] + [p.rejected_reference for p in pairs]
    tokens = logps.new_tensor([len(row.completion) for row in rows])
    ratios = logps - logps.new_tensor(known)
    return Sides(*ratios.chunk(2), *logps.chunk(2), *tokens.chunk(2))
