"""What formats of answers worth imitating share: which answers these are."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import (
    DemonstrationRecord,
    PairRecord,
    PromptRecord,
    RankingRecord,
    ThumbRecord,
)
from webapp.datasets.exports.columns import Columns, ShortColumn
from webapp.datasets.exports.descriptor import CardText, MadeOf
from webapp.datasets.exports.statements import Statements
from webapp.datasets.exports.texts import Spelling
from webapp.datasets.snapshots import Entry, is_pair, values_in
from webapp.labeling.kinds.descriptor import Record

CONSUMER = _("TRL's SFTTrainer, and all that imitate answers")
HELP = _(
    "what people wrote, and the answers that they preferred to all others or found good; each answer once to its "
    "prompt, and none without words."
)
CONFIG = "prompt_completion"
KEEPS = frozenset(["demonstrations", "turns", "turns_beside", "tools", "tools_beside"])
CARD = CardText(
    row="""\
Each row is a prompt with an answer worth imitating
(`completion`), once: what people wrote, what they preferred to all else that they saw, and what they found good.""",
    columns="""\
`origin` says which of these: demonstration,
preferred or good.""",
    noun="answers",
)


class Imitated(NamedTuple):
    """An answer worth imitating, and why it is."""

    prompt: PromptRecord
    text: str
    origin: str


def imitated_in(entry: Entry) -> Iterator[Imitated]:
    """The answers that a label finds worth imitating; none is one that another was put before."""
    beaten = {(pair.prompt.key, pair.rejected) for pair in entry.pairs}
    for record in entry.records:
        for text, origin in _imitated(record):
            if (record.prompt.key, text) not in beaten:
                yield Imitated(record.prompt, text, origin)


def _imitated(record: Record) -> Iterator[tuple[str, str]]:
    match record:
        case DemonstrationRecord():
            yield record.completion, "demonstration"
        case PairRecord() if is_pair(record):
            yield record.chosen, "preferred"
        case ThumbRecord(good=True):
            yield record.completion, "good"
        case RankingRecord() if max(record.ranks) > (first := min(record.ranks)):
            rows = zip(record.completions, record.ranks, strict=True)
            yield from ((text, "preferred") for text, rank in rows if rank == first)


IMITATED = Statements(imitated_in, texts=("text",), beside=(("origin", pa.string()),))


def imitated_found(batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
    """The answers of one split that are worth imitating, none without words."""
    found = IMITATED.found_in(batch, split)
    return found.filter(
        pa.array([text.strip() != "" for text in values_in(found["text"])], pa.bool_())
    )


def imitated_as(way: Spelling) -> MadeOf:
    """Answers worth imitating."""

    def columns(imitated: pa.RecordBatch) -> Columns:
        asked, tools = way.asked(imitated["messages"])
        return {
            "prompt": asked,
            "completion": way.answers(imitated["text"]),
            **{name: ShortColumn(imitated[name]) for name in ("origin", "prompt_key")},
            **tools,
        }

    return columns


def answers_named(imitated: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    """What is there once: an answer to a prompt."""
    keys, texts = values_in(imitated["prompt_key"]), values_in(imitated["text"])
    return zip(keys, texts, strict=True)


def completion_schema(way: Spelling) -> pa.Schema:
    """The columns, with texts written so."""
    beside = [("origin", pa.string()), ("prompt_key", pa.string())]
    return pa.schema([("prompt", way.type), ("completion", way.type), *beside])
