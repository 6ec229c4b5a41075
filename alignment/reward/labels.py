"""The labels that a reward model may learn from, and which of them are held out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from typing import Protocol, TypeVar

from alignment.kinds.reward.settings import RewardConfig
from alignment.seam.errors import DataError
from alignment.seam.records import (
    LabelRecord,
    PairRecord,
    PromptRecord,
    RankingRecord,
    texts_of,
)
from alignment.seam.words import _

MIN_LABELS = 8


class Labelled(Protocol):
    """Whatever is about a prompt."""

    @property
    def prompt(self) -> PromptRecord:
        """The prompt."""


L = TypeVar("L", bound=Labelled)


def learnable(records: Iterable[LabelRecord], config: RewardConfig) -> list[LabelRecord]:
    """The labels of every kind that the settings use; raises DataError where they are too few."""
    labels = usable(records, config)
    refuse_few(labels, "labels of different completions")
    return labels


def usable(records: Iterable[LabelRecord], config: RewardConfig) -> list[LabelRecord]:
    """Those that the settings use."""
    labels = list(records)
    if config.rankings == "pairs":
        labels = [one for label in labels for one in apart(label)]
    else:
        labels = ranked(labels)
    dropped = ("tie",) if config.ties == "drop" else ()
    return [label for label in labels if says_something(label) and label.kind not in dropped]


def refuse_few(labels: Sequence[LabelRecord], what: str) -> None:
    """Raise DataError where nothing could be learned."""
    if len(labels) < MIN_LABELS:
        raise DataError(
            _(
                "There are {n} {what}; a reward model needs at least {min_labels}. Label more "
                "comparisons."
            ).format(n=len(labels), what=what, min_labels=MIN_LABELS)
        )
    if len({(label.prompt.key, *texts_of(label)) for label in labels}) == 1:
        raise DataError(
            _("Every label is about the same completions. Label comparisons of others.")
        )


def says_something(label: LabelRecord) -> bool:
    """Whether it compares different texts, or judges one."""
    if isinstance(label, RankingRecord) and len(set(label.ranks)) == 1:
        return False
    texts = texts_of(label)
    return len(texts) == 1 or len({text.strip() for text in texts}) > 1


def apart(label: LabelRecord) -> Iterator[LabelRecord]:
    """A ranking as all its pairs, any other label as it is."""
    if not isinstance(label, RankingRecord):
        yield label
        return
    places = zip(label.ranks, label.completions, strict=True)
    for (rank, better), (below, worse) in permutations(places, 2):
        if rank < below and better.strip() != worse.strip():
            yield PairRecord(
                prompt=label.prompt, chosen=better, rejected=worse, annotator=label.annotator
            )


def pairs_in(labels: Iterable[LabelRecord]) -> list[PairRecord]:
    """The preferences among labels, those of rankings included."""
    each = (one for label in labels for one in apart(label))
    return [one for one in each if isinstance(one, PairRecord)]


def ranked(labels: Iterable[LabelRecord]) -> list[LabelRecord]:
    """Pairs of one `group` become the ranking they are of, if it has at least three completions."""
    groups: dict[tuple[str, str], list[PairRecord]] = {}
    found: list[LabelRecord] = []
    for label in labels:
        if isinstance(label, PairRecord) and label.group:
            groups.setdefault((label.prompt.key, label.group), []).append(label)
        else:
            found.append(label)
    for pairs in groups.values():
        ranking = ranking_of(pairs)
        found += pairs if ranking is None else [ranking]
    return found


def ranking_of(pairs: Sequence[PairRecord]) -> RankingRecord | None:
    """The order of three completions or more that says just these pairs, if there is one."""
    said = {(pair.chosen, pair.rejected) for pair in pairs}
    beaten = Counter(chosen for chosen, _ in said)
    texts = sorted({text for both in said for text in both}, key=lambda text: (-beaten[text], text))
    levels = sorted({beaten[text] for text in texts}, reverse=True)
    ranks = {text: levels.index(beaten[text]) for text in texts}
    order = {(one, other) for one, other in permutations(texts, 2) if ranks[one] < ranks[other]}
    if len(texts) < 3 or order != said:
        return None
    first = pairs[0]
    return RankingRecord(
        prompt=first.prompt,
        completions=tuple(texts),
        ranks=tuple(ranks[text] for text in texts),
        annotator=first.annotator,
    )


def contradicted(pairs: Sequence[PairRecord]) -> int:
    """How many pairs another label says the opposite of."""
    said = {(pair.prompt.key, pair.chosen, pair.rejected) for pair in pairs}
    return sum((pair.prompt.key, pair.rejected, pair.chosen) in said for pair in pairs)


def divided(labels: Sequence[L], share: float) -> tuple[list[L], list[L]]:
    """Labels to fit and labels held out, by prompt; raises DataError where there is but one prompt.

    A prompt's own hash decides, so that new labels move no prompt across; where by chance that
    leaves a side empty, the prompt nearest to the border crosses it. A share of 0 holds out none.
    """
    if not share:
        return list(labels), []
    places = sorted({place(label.prompt.key) for label in labels})
    if len(places) < 2:
        raise DataError(
            _(
                "All labels are about one prompt, so none can be held out to measure accuracy. Label "
                "comparisons of more prompts."
            )
        )
    border = min(max(share, places[1]), places[-1])
    held = [label for label in labels if place(label.prompt.key) < border]
    fitted = [label for label in labels if place(label.prompt.key) >= border]
    return fitted, held


def held_apart(
    labels: Sequence[L], own: Sequence[L] | None, share: float
) -> tuple[list[L], list[L]]:
    """Labels to fit and labels to measure by: `divided`, or where some were given for it, those.

    What is said of the prompts of these is not learned from; raises DataError where nothing else is there.
    """
    if own is None:
        return divided(labels, share)
    keys = {label.prompt.key for label in own}
    fitted = [label for label in labels if label.prompt.key not in keys]
    if not fitted:
        raise DataError(
            _("All labels are about prompts of the evaluation; give others to learn from.")
        )
    return fitted, list(own)


def place(key: str) -> float:
    """Where a prompt falls in [0, 1); other digits of its key than those that decide its split."""
    return int(key[8:16], 16) / 16**8
