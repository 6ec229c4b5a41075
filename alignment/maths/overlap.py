"""How far a text agrees with answers that are known: exact match, token F1, chrF, BLEU.

Exact match and token F1 are of normalised words (Rajpurkar et al., "SQuAD", 2016): in small letters, without
punctuation and English articles. chrF (Popovic, 2015) and BLEU (Papineni et al., 2002) are sacrebleu's, whose
numbers can be compared with published ones; of several known answers the nearest counts.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
ORDERS = 4  # n-grams of BLEU


def normalised(text: str) -> list[str]:
    """The words of a text as exact match and token F1 compare them."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def exact_match(text: str, known: Sequence[str]) -> float:
    """1 where the text says what one of the known answers does, else 0."""
    return float(any(normalised(text) == normalised(one) for one in known))


def token_f1(text: str, known: Sequence[str]) -> float:
    """The largest F1 of the text's words and those of a known answer, each word as often as it comes."""
    return max(_f1(Counter(normalised(text)), Counter(normalised(one))) for one in known)


def _f1(told: Counter[str], said: Counter[str]) -> float:
    if not told or not said:
        return float(told == said)
    return 2 * (told & said).total() / (told.total() + said.total())


def chrf(text: str, known: Sequence[str]) -> float:
    """sacrebleu's chrF of one text, from 0 to 100."""
    return float(_chrf().sentence_score(text, list(known)).score)


@dataclass(frozen=True)
class BleuCounts:
    """What BLEU of a corpus needs of its texts, a row each: n-grams that match and all, and both lengths."""

    numbers: Tensor  # (n, 2 * ORDERS + 2), fp64

    @classmethod
    def of(cls, texts: Sequence[str], known: Sequence[Sequence[str]]) -> "BleuCounts":
        """Of each text, beside the answers that are known to it."""
        rows = []
        for text, answers in zip(texts, known, strict=True):
            found = _bleu().sentence_score(text, list(answers))
            rows.append([*found.counts, *found.totals, found.sys_len, found.ref_len])
        return cls(torch.tensor(rows, dtype=torch.float64).view(len(rows), 2 * ORDERS + 2))

    def score(self, weights: Tensor) -> float:
        """BLEU of a corpus in which each text comes so often (n,), from 0 to 100."""
        found = [round(one) for one in (weights.double() @ self.numbers).tolist()]
        correct, total, (told, known) = found[:ORDERS], found[ORDERS:-2], found[-2:]
        score = BLEU.compute_bleu(correct, total, told, known, smooth_method="exp").score
        return float(score)


@cache
def _chrf() -> CHRF:
    return CHRF()


@cache
def _bleu() -> BLEU:
    return BLEU(effective_order=True)  # of one text; n-grams are counted the same
