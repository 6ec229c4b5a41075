"""What a snapshot may hold beyond the texts of its preferences, and how much of it one does."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import Message
from webapp.datasets.snapshots import ACCEPTED, WITHOUT_PREFERENCE, tables_beside
from webapp.site.words import Words

SNAPSHOTS = 32  # whose counts are kept: they never change
Prompts = set[str]  # by their keys
Count = Callable[[pa.Table], int | Prompts]


class Holding(NamedTuple):
    """Something that snapshots hold, and how often a table of their columns has it, or in which prompts."""

    words: Words
    found: Count
    but: str = ""  # the name of another, whose prompts do not count


def _labels(rows: pa.Table) -> pa.Array:
    return pc.not_equal(rows["source"], "rank")


def _preferring(rows: pa.Table) -> pa.Array:
    return pc.greater(rows["pairs"], 0)


def _number_of(chosen: pa.Array) -> int:
    return int(pc.sum(chosen).as_py() or 0)


def _talks(rows: pa.Table) -> Prompts:
    """The prompts that are conversations of several turns; a quotation mark within a turn has a stroke before it."""
    turns = pc.count_substring(rows["messages"], '"role":')
    return set(rows["prompt_key"].filter(pc.greater(turns, 1)).unique().to_pylist())


def _calling(rows: pa.Table) -> Prompts:
    """The prompts that have to do with tools."""
    some = rows.filter(pc.match_substring(rows["messages"], '"tool'))
    texts = dict(zip(some["prompt_key"].to_pylist(), some["messages"].to_pylist(), strict=True))
    turns = {key: [Message(**turn) for turn in json.loads(text)] for key, text in texts.items()}
    return {key for key, one in turns.items() if not all(turn.is_plain for turn in one)}


def _that_say(*names: str) -> Count:
    """How many records are of these kinds."""
    return lambda rows: _number_of(pc.is_in(pc.list_flatten(rows["says"]), pa.array(names)))


HOLDINGS: Mapping[str, Holding] = {
    "preferences": Holding(
        _("Preferences of one text over another"), lambda rows: _number_of(rows["pairs"])
    ),
    "ties": Holding(
        _("Answers without a preference between different texts"), _that_say(*WITHOUT_PREFERENCE)
    ),
    "rankings": Holding(_("Rankings of several answers"), _that_say("ranking")),
    "thumbs": Holding(_("Answers that were found good or bad by themselves"), _that_say("thumb")),
    "ratings": Holding(_("Marks for single answers"), _that_say("rating")),
    "looked": Holding(_("Answers that were looked at for flags alone"), _that_say("flag")),
    "forms": Holding(
        _("Which version of the form was asked by"), lambda rows: _number_of(_labels(rows))
    ),
    "demonstrations": Holding(
        _("Answers that people wrote to be imitated"), _that_say("demonstration")
    ),
    "overruled": Holding(
        _("Labels in whose place another answer speaks"), lambda rows: _number_of(rows["overruled"])
    ),
    "unaccepted": Holding(
        _("Written answers that wait for their reviewers, or were rejected by them"),
        lambda rows: _number_of(pc.not_equal(rows["standing"], ACCEPTED)),
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
    "turns": Holding(
        _("Prompts of several turns"), lambda rows: _talks(rows.filter(_preferring(rows)))
    ),
    "turns_beside": Holding(
        _("Prompts of several turns without a preference"),
        _talks,
        but="turns",
    ),
    "tools": Holding(
        _("Prompts with tools: descriptions, calls, and what was answered"),
        lambda rows: _calling(rows.filter(_preferring(rows))),
    ),
    "tools_beside": Holding(
        _("Prompts with tools, without a preference"),
        _calling,
        but="tools",
    ),
    "pairings": Holding(
        _("Which answers were compared with each other"), lambda rows: _number_of(_preferring(rows))
    ),
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
    "writers": Holding(
        _("Who wrote the answers: which model, a person, or a file"), lambda rows: len(rows)
    ),
    "ids": Holding(_("Ids of labels, tasks and answers"), lambda rows: _number_of(_labels(rows))),
}


@lru_cache(maxsize=SNAPSHOTS)
def held(folder: Path) -> Mapping[str, int]:
    """How much of what the snapshot in a folder of the store holds."""
    counts: Counter[str] = Counter()
    prompts: dict[str, Prompts] = defaultdict(set)
    for rows in tables_beside(folder):
        for name, holding in HOLDINGS.items():
            if isinstance(found := holding.found(rows), int):
                counts[name] += found
            else:
                prompts[name] |= found
    for name, keys in prompts.items():
        counts[name] = len(keys - prompts.get(HOLDINGS[name].but, set()))
    return counts
