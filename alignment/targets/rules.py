"""Rules: numbers that a completion's text has without a model of rewards, as rewards, constraints, features."""

import re
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from alignment.foreign.patterns import found_in
from alignment.kinds.settings.rules import examples_of
from alignment.models.conversations import text_ids
from alignment.models.policies import Policy
from alignment.sampling.encoded import Encoded, encode

TOKENS = 2048  # padded tokens of one forward

Rule = Callable[[Sequence[str]], Tensor]  # texts to (n,) numbers in fp64


def contains(phrase: str) -> Rule:
    """1 where the phrase occurs, in whatever case, else 0."""
    wanted = phrase.casefold()
    return lambda texts: _numbers(wanted in text.casefold() for text in texts)


def matches(pattern: str) -> Rule:
    """1 where the regular expression is found anywhere, else 0; raises DataError where it takes too long."""
    return lambda texts: _numbers(found_in(pattern, texts))


def words() -> Rule:
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

    lines = examples_of(examples)
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


def embedding_similarity(examples: str, reference: Policy) -> Rule:
    """The largest cosine, in [-1, 1], of a text's embedding to one of the examples'; 0 without text."""
    known = embeddings(reference, examples_of(examples))
    return lambda texts: (embeddings(reference, texts) @ known.T).amax(1)


@torch.no_grad()
def embeddings(policy: Policy, texts: Sequence[str]) -> Tensor:
    """(n, width) last hidden states averaged over a text's tokens, of norm 1; 0 where there are none."""
    limit = policy.context_length
    rows = [text_ids(policy.tokenizer, text)[:limit] for text in texts]
    order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
    size = max(1, TOKENS // max(1, len(rows[order[0]])))  # of the longest
    parts = [
        _mean_states(policy, [rows[row] for row in order[start : start + size]])
        for start in range(0, len(order), size)
    ]
    return torch.nn.functional.normalize(torch.cat(parts)[torch.tensor(order).argsort()], dim=1)


def _mean_states(policy: Policy, rows: Sequence[list[int]]) -> Tensor:
    """(n, width) last hidden states of rows of token ids, averaged over each row, in fp64."""
    longest = max(1, *(len(ids) for ids in rows))
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids in rows], device=policy.device)
    counts = torch.tensor([len(ids) for ids in rows], device=policy.device)[:, None]
    if policy.apart:
        states = encode(policy.model, Encoded([ids or [0] for ids in rows], policy.device))
    else:
        # Padding is on the right of a causal model: what comes before does not see it.
        states = policy.model(
            input_ids=padded,
            attention_mask=torch.ones_like(padded),
            output_hidden_states=True,
            logits_to_keep=1,
        ).hidden_states[-1]
    inside = torch.arange(longest, device=policy.device) < counts
    total: Tensor = (states * inside[..., None]).double().sum(1)
    return (total / counts.clamp(min=1)).cpu()


RULES: dict[str, Callable[[str, Policy], Rule]] = {
    "contains": lambda text, _: contains(text),
    "matches": lambda text, _: matches(text),
    "words": lambda _, __: words(),
    "similarity": lambda text, _: similarity(text),
    "embedding_similarity": embedding_similarity,
}


def _numbers(values: Iterable[float]) -> Tensor:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)
