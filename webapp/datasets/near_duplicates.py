"""Texts that say nearly the same, found among many without comparing each with each.

A text is known by the least hashes of its runs of eight bytes (MinHash: Broder, On the resemblance and containment of
documents, 1997); texts that share four of them in a row are compared with the first of those (locality-sensitive
hashing: Indyk and Motwani, Approximate nearest neighbors, 1998).
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz

from webapp.projects.likeness import COMPARED, LEAST

Name = TypeVar("Name", bound=Hashable)
Numbers = NDArray[np.uint64]
SHORTEST = 40  # characters: of shorter texts one word makes another
RUN = 8  # bytes
BANDS, IN_BAND = 8, 4
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
CHANCE = np.random.default_rng(22)
FACTORS = CHANCE.integers(2**63, size=(BANDS * IN_BAND, 1), dtype=np.uint64) | np.uint64(1)
SHIFT = np.uint64(32)


@dataclass
class KeptSample(Generic[Name]):
    """At most so many of the named texts that are fed, chosen by their numbers: always the same of the same."""

    most: int
    texts: dict[int, tuple[Name, tuple[str, ...]]] = field(default_factory=dict)  # by number
    highest: int = 2**64

    def wants(self, number: int) -> bool:
        """Whether a text of this number would be kept, and is not yet."""
        return number < self.highest and number not in self.texts

    def add(self, number: int, name: Name, parts: Sequence[str]) -> None:
        """Keep the parts of a text under its number, which its hash is: of each the end, where talks differ."""
        self.texts[number] = (name, tuple(part[-COMPARED:] for part in parts))
        if len(self.texts) > 2 * self.most:
            self._cut()

    def __iter__(self) -> Iterator[tuple[Name, tuple[str, ...]]]:
        self._cut()
        return (self.texts[number] for number in sorted(self.texts))

    def _cut(self) -> None:
        kept = sorted(self.texts)[: self.most]
        if len(kept) == self.most:
            self.highest = kept[-1] + 1
        self.texts = {number: self.texts[number] for number in kept}


def groups_alike(sample: KeptSample[Name]) -> list[list[Name]]:
    """The names of texts all of whose parts are nearly those of another, those that are alike together."""
    texts = list(sample)
    first: list[int] = list(range(len(texts)))
    leads: dict[tuple[int, bytes], int] = {}
    for place, (_name, parts) in enumerate(texts):
        for band in _bands("\n".join(parts)):
            other = leads.setdefault(band, place)
            lead, mine = _leader(first, other), _leader(first, place)
            if lead != mine and are_alike(texts[other][1], parts):
                first[mine] = lead
    found: dict[int, list[Name]] = {}
    for place, (name, _parts) in enumerate(texts):
        found.setdefault(_leader(first, place), []).append(name)
    return [group for group in found.values() if len(group) > 1]


def _leader(first: list[int], place: int) -> int:
    while first[place] != place:
        first[place] = first[first[place]]
        place = first[place]
    return place


def are_alike(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether each part is nearly the same as the other's."""
    return all(_alike(one, other) for one, other in zip(some, others, strict=True))


def _alike(one: str, other: str) -> bool:
    if min(len(one), len(other)) < SHORTEST:
        return one == other
    return fuzz.ratio(one, other, score_cutoff=LEAST) >= LEAST


def _bands(text: str) -> Iterator[tuple[int, bytes]]:
    """What two texts have in common that are probably alike."""
    least = signature_of(text)
    for band in range(BANDS):
        yield band, least[band * IN_BAND : (band + 1) * IN_BAND].tobytes()


def signature_of(text: str) -> Numbers:
    """The least hash of the text's runs of bytes by each of BANDS · IN_BAND orders, shape (BANDS · IN_BAND,)."""
    there = np.frombuffer(text.encode().ljust(RUN, b" "), np.uint8).astype(np.uint64)
    number = len(there) - RUN + 1
    runs = np.zeros(number, np.uint64)
    for place in range(RUN):
        runs = runs * MULTIPLIER + there[place : place + number]
    mixed = (runs ^ (runs >> SHIFT)) * FACTORS
    least: Numbers = (mixed ^ (mixed >> SHIFT)).min(axis=1)
    return least
