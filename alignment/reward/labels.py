"""The labels that a reward model may learn from, and which of them are held out."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from alignment.errors import DataError
from alignment.records import DemonstrationRecord, PairRecord, ThumbRecord

Labelled = TypeVar("Labelled", PairRecord, DemonstrationRecord, ThumbRecord)

MIN_PAIRS = 8


def usable(records: Iterable[PairRecord]) -> list[PairRecord]:
    """The pairs that say something; raises DataError where too few do."""
    pairs = [pair for pair in records if pair.chosen.strip() != pair.rejected.strip()]
    if len(pairs) < MIN_PAIRS:
        raise DataError(
            f"There are {len(pairs)} pairs with different completions; a reward model needs at "
            f"least {MIN_PAIRS}. Label more comparisons."
        )
    if len({(pair.prompt.key, pair.chosen, pair.rejected) for pair in pairs}) == 1:
        raise DataError(
            "Every label is about the same pair of completions. Label comparisons of others."
        )
    return pairs


def contradicted(pairs: Sequence[PairRecord]) -> int:
    """How many pairs another label says the opposite of."""
    said = {(pair.prompt.key, pair.chosen, pair.rejected) for pair in pairs}
    return sum((pair.prompt.key, pair.rejected, pair.chosen) in said for pair in pairs)


def divided(pairs: Sequence[Labelled], share: float) -> tuple[list[Labelled], list[Labelled]]:
    """Pairs to fit and pairs held out, by prompt; raises DataError where there is but one prompt.

    A prompt's own hash decides, so that new labels move no prompt across; where by chance that
    leaves a side empty, the prompt nearest to the border crosses it.
    """
    places = sorted({_place(pair.prompt.key) for pair in pairs})
    if len(places) < 2:
        raise DataError(
            "All pairs are about one prompt, so none can be held out to measure accuracy. Label "
            "comparisons of more prompts."
        )
    border = min(max(share, places[1]), places[-1])
    held = [pair for pair in pairs if _place(pair.prompt.key) < border]
    fitted = [pair for pair in pairs if _place(pair.prompt.key) >= border]
    return fitted, held


def _place(key: str) -> float:
    """Where a prompt falls in [0, 1); other digits of its key than those that decide its split."""
    return int(key[8:16], 16) / 16**8
