"""What a snapshot may hold beyond the texts of its preferences, and how much of it one does."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.translation import gettext_lazy as _

from webapp.datasets.snapshots import columns
from webapp.site.words import Words

SNAPSHOTS = 32  # whose counts are kept: they never change


class Holding(NamedTuple):
    """Something that snapshots hold, and how often a table of their columns has it."""

    words: Words
    count: Callable[[pa.Table], int]


def _labels(rows: pa.Table) -> pa.Array:
    return pc.equal(rows["source"], "label")


def _preferring(rows: pa.Table) -> pa.Array:
    return pc.greater(rows["pairs"], 0)


def _number_of(chosen: pa.Array) -> int:
    return int(pc.sum(chosen).as_py() or 0)


def _talks(rows: pa.Table) -> int:
    """How many prompts with a preference are conversations of several turns."""
    messages = rows.filter(_preferring(rows))["messages"].unique().to_pylist()
    return sum(len(json.loads(turns)) > 1 for turns in messages)


HOLDINGS: Mapping[str, Holding] = {
    "ties": Holding(
        _("Answers without a preference between different texts"),
        lambda rows: _number_of(pc.invert(_preferring(rows))),
    ),
    "reasons": Holding(
        _("Reasons that annotators gave"),
        lambda rows: _number_of(pc.not_equal(rows["rationale"], "")),
    ),
    "flags": Holding(
        _("Answers with a flag"),
        lambda rows: _number_of(pc.greater(pc.list_value_length(rows["flags"]), 0)),
    ),
    "times": Holding(
        _("When labels were given, and how long they took"),
        lambda rows: _number_of(_labels(rows)),
    ),
    "simulated": Holding(
        _("Which labels are by simulated annotators"),
        lambda rows: _number_of(rows["simulated"]),
    ),
    "turns": Holding(_("Prompts of several turns"), _talks),
    "strengths": Holding(
        _("How much better the better answer is"),
        lambda rows: _number_of(_preferring(rows)),
    ),
    "sides": Holding(
        _("Which answer stood first"),
        lambda rows: _number_of(pc.and_(_labels(rows), _preferring(rows))),
    ),
    "annotators": Holding(
        _("Which pseudonym gave which label"),
        lambda rows: _number_of(_labels(rows)),
    ),
    "groups": Holding(
        _("Which pairs are of one ranking"),
        lambda rows: _number_of(pc.not_equal(rows["group"], "")),
    ),
}


@lru_cache(maxsize=SNAPSHOTS)
def held(folder: Path) -> Mapping[str, int]:
    """How much of what the snapshot in a folder of the store holds."""
    rows = columns(folder)
    return {name: holding.count(rows) for name, holding in HOLDINGS.items()}
