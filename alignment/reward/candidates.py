"""Which two answers people could compare next, and in which order their comparisons would teach most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from alignment.maths.acquisition import (
    design_order,
    ensemble_order,
    preference_entropy,
    preference_information,
)
from alignment.maths.designs import random_rows
from alignment.seam.progress import split
from alignment.seam.records import AskedRecord, ProposedRecord, StoredRecord

OF_A_PROMPT = 32  # pairs, at most, of the many that many answers have
MOST = 20_000  # pairs of all, which are held side by side

Places = tuple[int, int]  # of two answers


@dataclass(frozen=True)
class Candidates:
    """Pairs of different answers to the same prompt, by their places: those nobody was asked about, and the others."""

    free: list[Places]
    asked: list[Places]


def pairs_among(
    rows: Sequence[StoredRecord], asked: Sequence[AskedRecord], generator: torch.Generator
) -> Candidates:
    """What could be asked of these answers; a random part of it where it is more than can be weighed."""
    known = {(one.prompt.key, frozenset(map(str.strip, one.completions))) for one in asked}
    free: list[Places] = []
    there: list[Places] = []
    for places in _by_prompt(rows):
        some: list[Places] = []
        for one, other in combinations(places, 2):
            texts = frozenset((rows[one].completion.strip(), rows[other].completion.strip()))
            if len(texts) == 2:  # else nobody could tell them apart
                (there if (rows[one].prompt.key, texts) in known else some).append((one, other))
        free += _thinned(some, OF_A_PROMPT, generator)
    return Candidates(_thinned(free, MOST, generator), _thinned(there, MOST, generator))


def ordered_pairs(
    among: Candidates, features: Tensor, raw: Tensor, size: int
) -> list[ProposedRecord]:
    """Each pair that is free with what a comparison would tell, and its place in both orders if it is among so many.

    features (answers, width), raw (answers, heads) in nats; `first` and `second` are places of answers. Of one head
    there is no order by the ensemble: it cannot disagree with itself.
    """
    if not among.free:
        return []
    first, second = torch.tensor(among.free, device=raw.device).unbind(1)
    margins = (raw[first] - raw[second]).double()
    by_ensemble, by_design = split(1, 1)
    ensemble: list[int] = []
    with by_ensemble:
        if raw.shape[1] > 1:
            ensemble = ensemble_order(margins, size)
    with by_design:
        contrasts = (features[first] - features[second]).double()
        design = design_order(contrasts, margins, size, _known(among, features, raw))
    return list(_proposed(among.free, margins, ensemble, design))


def _by_prompt(rows: Sequence[StoredRecord]) -> list[list[int]]:
    """The places of the answers to each prompt."""
    found: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        found.setdefault(row.prompt.key, []).append(place)
    return list(found.values())


def _thinned(pairs: list[Places], most: int, generator: torch.Generator) -> list[Places]:
    """All, or so many of them by chance, in their order."""
    if len(pairs) <= most:
        return pairs
    return [pairs[place] for place in sorted(random_rows(len(pairs), most, generator))]


def _known(among: Candidates, features: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Contrasts and margins of the pairs that people were asked about."""
    places = torch.tensor(among.asked, dtype=torch.long, device=raw.device).reshape(-1, 2)
    first, second = places.unbind(1)
    return (features[first] - features[second]).double(), (raw[first] - raw[second]).double()


def _proposed(
    free: Sequence[Places], margins: Tensor, ensemble: Sequence[int], design: Sequence[int]
) -> Iterator[ProposedRecord]:
    ranks = [{row: rank for rank, row in enumerate(order)} for order in (ensemble, design)]
    columns = margins.sigmoid().mean(1), preference_information(margins)
    unsure = preference_entropy(margins).mean(1)
    numbers = torch.stack([*columns, unsure], 1).tolist()
    for row, ((one, other), (chance, information, entropy)) in enumerate(
        zip(free, numbers, strict=True)
    ):
        yield ProposedRecord(
            first=str(one),
            second=str(other),
            chance=chance,
            information=information,
            entropy=entropy,
            by_ensemble=ranks[0].get(row),
            by_design=ranks[1].get(row),
        )
