"""How well held-out documents are told: their perplexity, with an interval over documents."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alignment.maths.estimators import ratio_interval
from alignment.models.policies import Policy
from alignment.models.training import in_parts
from alignment.pretraining.packing import Stream, pack, token_rows
from alignment.pretraining.prediction import Objective, Prediction, label_losses, middle_of
from alignment.pretraining.vocabularies import end_of, infilling_marks
from alignment.seam.errors import DataError
from alignment.seam.progress import in_batches
from alignment.seam.records import Estimate
from alignment.seam.words import _

MOST = 1000  # documents that are measured
AT_ONCE = 64  # rows
SEED = 0  # of what is hidden while measuring: the same in every run


def perplexity(policy: Policy, objective: Objective, held: Stream, context: int) -> Estimate:
    """Of the predicted tokens of the first held-out documents, each read by itself; DataError where there are none.

    A causal model's is that of every token from those before it, whatever else it has learned to predict.
    """
    rows, owners = _rows_of(held, context)
    generator = torch.Generator().manual_seed(SEED)
    if objective.drawn:
        examples = objective.examples(rows, generator)
        return _measured(policy, examples, owners, masked=objective.masked)
    examples = [Prediction(row[:-1], row[1:]) for row in rows]
    return _measured(policy, examples, owners, masked=False)


def middle_perplexity(policy: Policy, held: Stream, context: int) -> Estimate:
    """Of the middles of held-out documents, told from what stands before and after them."""
    marks, end = infilling_marks(policy.tokenizer), end_of(policy.tokenizer)
    rows, owners = _rows_of(held, context - len(marks))
    generator = torch.Generator().manual_seed(SEED)
    examples = [middle_of(row, end, marks, generator) for row in rows]
    return _measured(policy, examples, owners, masked=False)


def _rows_of(held: Stream, context: int) -> tuple[list[Tensor], list[int]]:
    """The rows of the documents that are measured, and whose each of them is."""
    rows: list[Tensor] = []
    owners: list[int] = []
    for number in range(min(MOST, held.documents)):
        found = token_rows(held, pack(held.ends[number : number + 2], context))
        rows += found
        owners += [number] * len(found)
    return rows, owners


@torch.no_grad()
def _measured(
    policy: Policy, examples: Sequence[Prediction], owners: Sequence[int], *, masked: bool
) -> Estimate:
    sums, counts = dict[int, float](), dict[int, int]()
    pairs = list(zip(examples, owners, strict=True))
    for some in in_batches(pairs, AT_ONCE, _("rows")):
        for part in in_parts(policy, [example.size for example, _owner in some]):
            losses = label_losses(policy, [some[place][0] for place in part], masked=masked)
            for place, loss in zip(part, losses, strict=True):
                owner = some[place][1]
                sums[owner] = sums.get(owner, 0.0) + loss.double().sum().item()
                counts[owner] = counts.get(owner, 0) + len(loss)
    told = [owner for owner, count in counts.items() if count]
    if not told:
        raise DataError(
            _("Nothing of the held-out documents is to be predicted; let more of them be chosen.")
        )
    found = ratio_interval([sums[one] for one in told], [counts[one] for one in told])
    return as_perplexity(found)


def as_perplexity(loss: Estimate) -> Estimate:
    """exp of a mean loss in nats, and of its interval."""
    value, low, high = (
        None if one is None else float(torch.tensor(one, dtype=torch.float64).exp())
        for one in (loss.value, loss.low, loss.high)
    )
    assert value is not None
    return Estimate(value=value, low=low, high=high, n=loss.n, unit="")
