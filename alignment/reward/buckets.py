"""Where a reward model is right: accuracy by how far people agreed, and by length."""

from collections import Counter
from collections.abc import Sequence

from alignment.reward.measures import Told
from alignment.seam.records import LabelRecord, PairRecord, TieRecord, texts_of

Buckets = dict[str, list[int]]  # rows of pairs by what they have in common


def accuracy_by(found: Told, labels: Sequence[LabelRecord]) -> list[dict[str, object]]:
    """For each bucket that has pairs: its name, how many there are, accuracy over their prompts."""
    buckets = by_agreement(found, labels) | by_length(found) | by_longer(found)
    return [
        {"of": name, "pairs": len(rows), "accuracy": found.accuracy(rows).model_dump()}
        for name, rows in buckets.items()
        if rows
    ]


def by_agreement(found: Told, labels: Sequence[LabelRecord]) -> Buckets:
    """Pairs by whether other labels compare the same completions, and say the same."""
    said: dict[tuple[str, frozenset[str]], Counter[str]] = {}
    for label in labels:
        if isinstance(label, PairRecord | TieRecord):
            winner = label.chosen if isinstance(label, PairRecord) else ""
            said.setdefault(_about(label), Counter())[winner] += 1
    once, agree, disagree = "labelled once", "labels agree", "labels disagree"
    buckets: Buckets = {once: [], agree: [], disagree: []}
    for row, pair in enumerate(found.pairs):
        votes = said.get(_about(pair), Counter())
        name = disagree if len(votes) > 1 else agree if votes.total() > 1 else once
        buckets[name].append(row)
    return buckets


def by_length(found: Told) -> Buckets:
    """Pairs in thirds, by the tokens of the longer sequence."""
    longer = [max(both) for both in found.lengths]
    low, high = (sorted(longer)[len(longer) * third // 3] for third in (1, 2))
    names = f"up to {low} tokens", f"{low + 1} to {high} tokens", f"over {high} tokens"
    buckets: Buckets = {name: [] for name in names}
    for row, tokens in enumerate(longer):
        buckets[names[(tokens > low) + (tokens > high)]].append(row)
    return buckets


def by_longer(found: Told) -> Buckets:
    """Pairs by which of the two was chosen: a model may have learned length alone."""
    rows = list(enumerate(found.lengths))
    return {
        "longer one chosen": [row for row, (chosen, rejected) in rows if chosen > rejected],
        "shorter one chosen": [row for row, (chosen, rejected) in rows if chosen < rejected],
    }


def _about(label: PairRecord | TieRecord) -> tuple[str, frozenset[str]]:
    return label.prompt.key, frozenset(texts_of(label))
