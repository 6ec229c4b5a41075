"""What may be wrong with frozen labels, counted while they are written: no text of theirs is kept in it.

Memory: some thirty bytes a preference, and samples of texts that do not grow.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import combinations
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignment.seam.records import PairRecord, RankingRecord
from webapp.datasets.near_duplicates import KeptSample, groups_alike
from webapp.datasets.snapshots import Row, is_pair
from webapp.labeling.kinds.descriptor import Record
from webapp.projects.languages import language_of
from webapp.projects.models import Split
from webapp.quality.agreement import share

COMPARED = 10_000  # prompts, and pairs, among which near duplicates are looked for
SPOKEN_IN = 2_000  # prompts whose language is told
EXAMPLES = 5  # of prompts that leak
FEWEST = 6  # pairs of which an interval of a median can be said
Z = 1.959964  # of 95 %
SPLITS = {split: place for place, split in enumerate(Split.values)}
Ints = NDArray[np.int64]


class HealthMeter:
    """Fed each row with what it says; tells what is wrong with all of them."""

    def __init__(self) -> None:
        self.labels: Counter[str] = Counter()  # by who gave them
        self.people: dict[str, int] = {}  # their numbers
        self.equal = 0
        self.pairs, self.swapped = array("Q"), array("b")
        self.tasks, self.by = array("q"), array("l")
        self.chosen, self.rejected = array("l"), array("l")
        self.prompts, self.splits = array("Q"), array("b")
        self.asked: KeptSample[tuple[str, str]] = KeptSample(COMPARED)  # key and split
        self.judged: KeptSample[int] = KeptSample(COMPARED)

    def feed(self, row: Row, records: Sequence[Record]) -> None:
        """Count a row."""
        if row["source"] == "label":
            self.labels[row["annotator"]] += 1
        number, text = _prompt(row["messages"])
        self.prompts.append(number)
        self.splits.append(SPLITS[row["split"]])
        named = text_number(row["prompt_key"])
        if self.asked.wants(named):
            self.asked.add(named, (row["prompt_key"], row["split"]), (text,))
        task = -len(self.prompts) if row.get("task") is None else row["task"]
        who = self.people.setdefault(row["annotator"], len(self.people))
        for chosen, rejected in self._preferences(records):
            self._prefer(text, chosen, rejected, task, who)

    def _preferences(self, records: Sequence[Record]) -> Iterator[tuple[str, str]]:
        for record in records:
            if is_pair(record):
                yield record.chosen, record.rejected
            elif isinstance(record, PairRecord):
                self.equal += 1
            elif isinstance(record, RankingRecord):
                yield from _ranked_pairs(record)

    def _prefer(self, prompt: str, chosen: str, rejected: str, task: int, who: int) -> None:
        first, second = sorted((chosen, rejected))
        number = text_number(prompt, first, second)
        self.pairs.append(number)
        self.swapped.append(chosen == first)
        self.tasks.append(task)
        self.by.append(who)
        self.chosen.append(len(chosen))
        self.rejected.append(len(rejected))
        if self.judged.wants(number):
            self.judged.add(number, number, (prompt, first, second))

    def report(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        number = len(np.unique(_numbers(self.prompts)))
        return {
            "prompts": number,
            "pairs": len(self.pairs),
            "equal": self.equal,
            "repeated": self._repeated(),
            "near_pairs": sum(len(group) - 1 for group in groups_alike(self.judged)),
            "compared": min(COMPARED, number),
            **self._contradictions(),
            **self._leaks(),
            "people": self._shares(),
            "languages": self._languages(),
            "lengths": self._lengths(),
        }

    def _repeated(self) -> int:
        """How often a pair is asked about once more, in another task or line of a file."""
        pairs, tasks = _numbers(self.pairs), _numbers(self.tasks)
        asked = np.unique(np.stack([pairs, tasks], axis=1), axis=0) if len(pairs) else pairs
        return len(asked) - len(np.unique(pairs))

    def _contradictions(self) -> dict[str, int]:
        """How many pairs are judged both ways, by whomever, and by one and the same person."""
        pairs, way = _numbers(self.pairs), _numbers(self.swapped)
        own = np.stack([pairs, _numbers(self.by)], axis=1) if len(pairs) else pairs
        return {
            "contradictions": _both_ways(pairs, way),
            "own_contradictions": _both_ways(own, way),
        }

    def _leaks(self) -> dict[str, Any]:
        """Prompts whose words are in several splits: as they are (among all), or nearly (among those compared)."""
        prompts, splits = _numbers(self.prompts), _numbers(self.splits)
        alike = groups_alike(self.asked)
        near = [group for group in alike if len({split for _key, split in group}) > 1]
        return {
            "leaks": _both_ways(prompts, splits),
            "near_leaks": len(near),
            "leaking": [sorted(key for key, _split in group)[:2] for group in near[:EXAMPLES]],
            "near_prompts": sum(len(group) - 1 for group in alike),
        }

    def _shares(self) -> dict[str, Any]:
        most = self.labels.most_common(1)
        given = self.labels.total()
        return {
            "n": len(self.labels),
            "labels": given,
            "top": most[0][1] / given if most else None,
        }

    def _languages(self) -> dict[str, int]:
        """Prompts by the language that they are in, the most spoken first; "" is of those too short to tell."""
        spoken: Counter[str] = Counter()
        for place, (_name, (text,)) in enumerate(self.asked):
            if place < SPOKEN_IN:
                spoken[language_of(text)] += 1
        return dict(sorted(spoken.items(), key=lambda one: (-one[1], one[0])))

    def _lengths(self) -> dict[str, Any]:
        chosen, rejected = _numbers(self.chosen), _numbers(self.rejected)
        differ = chosen != rejected
        longer = share(float((chosen > rejected).sum()), int(differ.sum()))
        return {
            "chosen": median_of(chosen),
            "rejected": median_of(rejected),
            "longer": {"value": longer.value, "low": longer.low, "high": longer.high},
        }


def _numbers(values: "array[int]") -> Ints:
    """The same as an array of int64, whatever it was."""
    return np.array(values).astype(np.int64)


def _both_ways(keys: Ints, ways: Ints) -> int:
    """How many keys come in more than one way."""
    if not len(keys):
        return 0
    table = np.column_stack([keys, ways])
    seen = np.unique(table, axis=0)[:, :-1]
    _found, times = np.unique(seen, axis=0, return_counts=True)
    return int((times > 1).sum())


def median_of(values: Ints) -> dict[str, float | None]:
    """The median with its 95 % interval by order statistics (Conover, Practical Nonparametric Statistics, 3.2)."""
    n = len(values)
    if not n:
        return {"value": None, "low": None, "high": None}
    value = float(np.median(values))
    if n < FEWEST:
        return {"value": value, "low": None, "high": None}
    off = Z * sqrt(n) / 2
    low, high = max(0, floor(n / 2 - off) - 1), min(n - 1, ceil(n / 2 + off))
    parts = np.partition(values, (low, high))
    return {"value": value, "low": float(parts[low]), "high": float(parts[high])}


def _ranked_pairs(record: RankingRecord) -> Iterator[tuple[str, str]]:
    ranked = sorted(zip(record.ranks, record.completions, strict=True))
    for (one, better), (other, worse) in combinations(ranked, 2):
        if one < other and better != worse:
            yield better, worse


@lru_cache(maxsize=1024)
def _prompt(messages: str) -> tuple[int, str]:
    """The number of what a prompt says, capitals and spaces aside, and its text."""
    turns = [turn["content"] for turn in json.loads(messages)]
    said = "\n".join(" ".join(turn.split()) for turn in turns).casefold()
    return text_number(said), "\n".join(turns)


def text_number(*parts: str) -> int:
    """A number of 64 bits by which texts are known: among a million two are hardly ever the same."""
    named = blake2b(digest_size=8)
    for part in parts:
        said = part.encode()
        named.update(len(said).to_bytes(8, "big") + said)
    return int.from_bytes(named.digest(), "big")
