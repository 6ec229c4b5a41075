"""Rules: numbers that a completion's text has without any model, as rewards, constraints, features."""

import re
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

Rule = Callable[[Sequence[str]], Tensor]  # texts to (n,) numbers in fp64


def contains(phrase: str) -> Rule:
    """1 where the phrase occurs, in whatever case, else 0."""
    wanted = phrase.casefold()
    return lambda texts: _numbers(wanted in text.casefold() for text in texts)


def matches(pattern: str) -> Rule:
    """1 where the regular expression is found anywhere, else 0."""
    compiled = re.compile(pattern)
    return lambda texts: _numbers(compiled.search(text) is not None for text in texts)


def words(_: str = "") -> Rule:
    """How many words there are, counted as runs of characters between spaces."""
    return lambda texts: _numbers(len(text.split()) for text in texts)


def similarity(examples: str) -> Rule:
    """The largest TF-IDF cosine, in [0, 1], to one of the examples: lines, or parts between bars.

    Words are hashed, so those that no example has count too: they make a text less similar.
    """
    from sklearn.feature_extraction.text import (  # noqa: PLC0415 - a second at the start of every run
        HashingVectorizer,
        TfidfTransformer,
    )

    lines = [line for line in re.split(r"[\n|]", examples) if line.strip()]
    counts = HashingVectorizer(
        n_features=2**18,
        norm=None,
        alternate_sign=False,
        tokenizer=re.compile(r"\w+").findall,
        token_pattern=None,
    )
    weights = TfidfTransformer().fit(counts.transform(lines))
    known = weights.transform(counts.transform(lines))

    def score(texts: Sequence[str]) -> Tensor:
        cosines = weights.transform(counts.transform(texts)) @ known.T  # rows have norm 1 or 0
        return torch.from_numpy(cosines.toarray().max(axis=1))

    return score


RULES: dict[str, Callable[[str], Rule]] = {
    "contains": contains,
    "matches": matches,
    "words": words,
    "similarity": similarity,
}


def _numbers(values: Iterable[float]) -> Tensor:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)
