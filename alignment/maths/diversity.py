"""How varied models' answers are: of the whole corpus with a jackknife over prompts, and by prompt."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from sacrebleu.metrics.bleu import BLEU
from scipy.special import stdtrit

from alignment.maths.estimators import CONFIDENCE
from alignment.seam.records import Estimate

GROUPS = 20  # of prompts
ALIKE = 8  # completions of a prompt that self-BLEU compares


def diversity(tokens: Sequence[tuple[list[int], list[int]]]) -> dict[str, Estimate]:
    """distinct-2 of both models and its ratio, with jackknife intervals over groups of prompts."""
    whole = distinct_2(tokens)
    groups = min(GROUPS, len(tokens))
    parts = [
        distinct_2([row for place, row in enumerate(tokens) if place % groups != left_out])
        for left_out in range(groups)
    ]
    names = ("distinct_2_before", "distinct_2_after", "distinct_2_ratio")
    columns = zip(*parts, strict=True)
    return {
        name: jackknife(value, column, len(tokens))
        for name, value, column in zip(names, whole, columns, strict=True)
    }


def distinct_2(tokens: Sequence[tuple[list[int], list[int]]]) -> tuple[float, float, float]:
    """Different bigrams per bigram, before and after, and their ratio, at equal numbers of tokens.

    Where one model wrote more for a prompt, what it wrote beyond the other's count is left out.
    """
    sides: tuple[set[tuple[int, int]], set[tuple[int, int]]] = (set(), set())
    total = 0
    for rows in tokens:
        length = min(len(row) for row in rows)
        total += max(0, length - 1)
        for seen, row in zip(sides, rows, strict=True):
            seen.update(pairwise(row[:length]))
    before, after = (len(seen) / max(1, total) for seen in sides)
    return before, after, after / before if before else 1.0


def jackknife(value: float, parts: Sequence[float], prompts: int) -> Estimate:
    """A number of the whole corpus with a t interval from leaving out each group of prompts."""
    groups = len(parts)
    if groups < 2:
        return Estimate(value=value, low=None, high=None, n=prompts)
    spread = torch.tensor(parts, dtype=torch.float64).var(correction=0).item()
    half = float(stdtrit(groups - 1, (1 + CONFIDENCE) / 2)) * math.sqrt((groups - 1) * spread)
    return Estimate(value=value, low=value - half, high=value + half, n=prompts)


def self_bleu(texts: Sequence[Sequence[str]]) -> list[float]:
    """Per prompt, how alike its completions are: the mean BLEU, in [0, 1], of each beside the others.

    (Zhu et al., 2018.) Of the first few completions of a prompt, of which there must be two; a completion
    without a word is like no other.
    """
    metric = BLEU(effective_order=True)
    found = []
    for row in texts:
        some = row[:ALIKE]
        scores = [
            metric.sentence_score(text, [*some[:place], *some[place + 1 :]]).score / 100
            for place, text in enumerate(some)
        ]
        found.append(sum(scores) / len(scores))
    return found
