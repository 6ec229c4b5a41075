"""What formats of single answers for TRL share: which of them are good, and the columns beside the texts."""

from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import (
    PairRecord,
    PromptRecord,
    RankingRecord,
    RatingRecord,
    ThumbRecord,
    TieRecord,
)
from webapp.datasets.exports.columns import Columns, ShortColumn
from webapp.datasets.exports.descriptor import CardText, MadeOf
from webapp.datasets.exports.statements import Statements
from webapp.datasets.exports.texts import Spelling
from webapp.datasets.snapshots import Entry, is_pair
from webapp.labeling.kinds.descriptor import Record

CONSUMER = _("TRL's KTOTrainer, and all that learn from single answers")
HELP = _(
    "a pair becomes two rows, the better answer as good and the worse one as bad; a tie two good ones, both bad "
    "two bad ones; of a ranking the first and the last; of marks those above and below the middle."
)
CONFIG = "unpaired"
KEEPS = frozenset(["preferences", "ties", "rankings", "thumbs", "ratings", "annotators", "turns"])
KEEPS |= {"turns_beside", "tools", "tools_beside"}
CARD = CardText(
    row="""\
Each row is a prompt with an answer (`completion`) that
is good (`label` true) or bad. A preference makes two rows: the better answer is good, the worse one
bad. Of a tie both are good, of two bad ones both are bad. Of a ranking the first is good and the last
bad; of marks those above the middle are good and those below it bad.""",
    columns="""\
`annotator` is a pseudonym, or
`import` where a preference came from a file.""",
    noun="answers",
)


class Verdict(NamedTuple):
    """Somebody found an answer good or bad."""

    prompt: PromptRecord
    text: str
    good: bool


def verdicts_of(entry: Entry) -> Iterator[Verdict]:
    """What a label says of single answers, of each once; of a ranking nothing of those in the middle."""
    pairs = list(entry.pairs)
    said: dict[tuple[str, str], set[bool]] = {}
    prompts = {}  # of one task that is a conversation several
    for record in (
        pairs or entry.records
    ):  # where something is preferred, ties are those of a ranking
        prompts[record.prompt.key] = record.prompt
        for text, good in _verdicts(record):
            said.setdefault((record.prompt.key, text), set()).add(good)
    for (key, text), verdicts in said.items():
        if len(verdicts) == 1:
            yield Verdict(prompts[key], text, verdicts.pop())


def _verdicts(record: Record) -> Iterator[tuple[str, bool]]:
    match record:
        case PairRecord() if is_pair(record):
            yield record.chosen, True
            yield record.rejected, False
        case TieRecord():
            yield record.left, not record.both_bad
            yield record.right, not record.both_bad
        case RankingRecord() if (last := max(record.ranks)) > (first := min(record.ranks)):
            rows = zip(record.completions, record.ranks, strict=True)
            yield from ((text, rank == first) for text, rank in rows if rank in (first, last))
        case ThumbRecord():
            yield record.completion, record.good
        case RatingRecord() if 2 * record.rating != 1 + record.levels:
            yield record.completion, 2 * record.rating > 1 + record.levels


VERDICTS = Statements(verdicts_of, texts=("text",), beside=(("good", pa.bool_()),))


def unpaired_in(way: Spelling) -> MadeOf:
    """Single answers."""

    def columns(verdicts: pa.RecordBatch) -> Columns:
        asked, tools = way.asked(verdicts["messages"])
        return {
            "prompt": asked,
            "completion": way.answers(verdicts["text"]),
            "label": ShortColumn(verdicts["good"]),
            **{name: ShortColumn(verdicts[name]) for name in ("prompt_key", "annotator")},
            **tools,
        }

    return columns


def unpaired_schema(way: Spelling) -> pa.Schema:
    """The columns, with texts written so."""
    beside = [("label", pa.bool_()), ("prompt_key", pa.string()), ("annotator", pa.string())]
    return pa.schema([("prompt", way.type), ("completion", way.type), *beside])
