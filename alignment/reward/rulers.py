"""Rules that read nothing of an answer, as rulers of how much a reward model's accuracy is worth."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from alignment.maths.estimators import clipped, grouped_interval
from alignment.reward.measures import Told
from alignment.seam.records import Estimate


def _longest(found: Told) -> Tensor:
    """1 where the chosen answer is the longer one in tokens, a half where both are as long."""
    lengths = torch.tensor(found.lengths, dtype=torch.float64).view(-1, 2)
    return ((lengths[:, 0] - lengths[:, 1]).sign() + 1) / 2


def _left(found: Told) -> Tensor:
    """1 where the chosen answer stood left, not a number where nobody saw sides."""
    sides = [math.nan if pair.left_won is None else float(pair.left_won) for pair in found.pairs]
    return torch.tensor(sides, dtype=torch.float64)


RULERS: Mapping[str, Callable[[Told], Tensor]] = {
    "longest": _longest,
    "shortest": lambda found: 1 - _longest(found),
    "left": _left,
}


def told_by_rules(found: Told) -> dict[str, object]:
    """The accuracy of each rule on the pairs that it tells, and how far the model is ahead of the best of them.

    That is measured on the best one's pairs, prompt by prompt; which one is best, these same pairs say.
    """
    told = {name: rule(found) for name, rule in RULERS.items()}
    known = {name: right for name, right in told.items() if not right.isnan().all()}
    numbers = {name: _over_prompts(found, right) for name, right in known.items()}
    best = known[max(numbers, key=lambda name: numbers[name].value)]
    summary: dict[str, object] = {
        name: clipped(number).model_dump() for name, number in numbers.items()
    }
    return summary | {"ahead": _over_prompts(found, found.right - best).model_dump()}


def by_category(found: Told) -> list[dict[str, object]]:
    """Of each category that pairs name: its name, how many there are, and the accuracies; none where none names one."""
    names = sorted({pair.category for pair in found.pairs})
    if names in ([], [""]):
        return []
    rows = []
    for name in names:
        some = found.some([at for at, pair in enumerate(found.pairs) if pair.category == name])
        told = {
            "of": name or "—",
            "pairs": len(some.pairs),
            "accuracy": some.accuracy().model_dump(),
        }
        rules = told_by_rules(some)
        rows.append(told | {rule: rules.get(rule) for rule in (*RULERS, "ahead")})
    return rows


def _over_prompts(found: Told, values: Tensor) -> Estimate:
    """The mean over prompts of values (pairs,), of those that are numbers."""
    rows = (~values.isnan()).nonzero()[:, 0].tolist()
    prompts = found.prompts
    return grouped_interval(values[rows].tolist(), [prompts[row] for row in rows])
