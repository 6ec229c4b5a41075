"""Every label with everything that a snapshot says of it."""

import json

import pyarrow as pa
import pyarrow.compute as pc
from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.columns import (
    Column,
    Columns,
    DistinctColumn,
    ListColumn,
    ShortColumn,
)
from webapp.datasets.exports.descriptor import CardText, ExportFormat
from webapp.datasets.exports.holdings import HOLDINGS
from webapp.datasets.exports.statements import prompts_in
from webapp.datasets.exports.writers import JSON_LINES, PARQUET, TABLE

TEXTS, NUMBERS = pa.list_(pa.string()), pa.list_(pa.int64())
SCHEMA = pa.schema(
    [
        ("label", pa.int64()),
        ("task", pa.int64()),
        ("prompt_key", pa.string()),
        ("messages", pa.string()),
        ("kind", pa.string()),
        ("answer", pa.string()),
        ("says", TEXTS),
        ("items", TEXTS),
        ("item_ids", NUMBERS),
        ("item_sources", TEXTS),
        ("item_models", TEXTS),
        ("annotator", pa.string()),
        ("origin", pa.string()),
        ("source", pa.string()),
        ("counted", pa.bool_()),
        ("overruled", pa.bool_()),
        ("rationale", pa.string()),
        ("flags", TEXTS),
        ("visible_ms", pa.int64()),
        ("created_at", pa.string()),
        ("group", pa.string()),
        ("form", pa.int64()),
        ("standing", pa.string()),
    ]
)
CARD = CardText(
    row="""\
Each row is a label as somebody gave it, or a pair of an
imported ranking (`kind` ranked); ties and labels beyond the wanted number (`counted` false) are there too.""",
    columns="""\
`messages` is the prompt as JSON. `items` are the answers
in the order in which the annotator saw them, with their ids, who wrote them (`item_sources`: model, human
or imported) and the names of models. `answer` is JSON in the words of the kind of task, with the first
item at position 0; `says` names what it says: pair, tie, both_bad, equal (a preference between equal
texts), ranking, thumb, rating or demonstration. `annotator` is a pseudonym; `origin` says whether a person,
a simulated annotator or a file gave the label, and `source` whether it is a label, a decision about labels
that disagree (adjudication) or of a ranking; of what is `overruled` another answer speaks instead. `visible_ms` is how long the task was in sight, `created_at`
when the label was given (UTC), `form` the version of the project's form and guidelines (0: not known),
`standing` whether reviewers have accepted what somebody wrote: accepted, waiting or rejected.
In the table a cell that a spreadsheet would compute has an apostrophe before
it, and `marked` names its column.""",
    noun="labels",
)


BESIDE = ("imported", "simulated")  # of which `origin` is made
NAMED = {"item_ids": "completions", "item_sources": "sources", "item_models": "models"}
READS = ("split", *BESIDE, *(NAMED.get(name, name) for name in SCHEMA.names if name != "origin"))
WITHIN = "%Y-%m-%dT%H:%M:%SZ"  # seconds with six digits behind the point


def _columns(labels: pa.RecordBatch) -> Columns:
    """Labels as they are."""
    made = {"messages": _in_letters, "origin": _origins, "created_at": _times}
    return {
        name: made[name](labels) if name in made else _plain(labels[NAMED.get(name, name)])
        for name in SCHEMA.names
    }


def _plain(values: pa.Array) -> Column:
    return ListColumn(values) if pa.types.is_list(values.type) else ShortColumn(values)


def _in_letters(labels: pa.RecordBatch) -> Column:
    """JSON in the same letters, whoever wrote it."""
    coded = labels["messages"].dictionary_encode()
    texts = [
        json.dumps(json.loads(text), ensure_ascii=False) for text in coded.dictionary.to_pylist()
    ]
    return DistinctColumn(texts, coded.indices)


def _times(labels: pa.RecordBatch) -> Column:
    """When each was given, in UTC."""
    return ShortColumn(pc.strftime(labels["created_at"].cast(pa.timestamp("us")), WITHIN))


def _origins(labels: pa.RecordBatch) -> Column:
    """Who gave each: a person, a simulated annotator or a file."""
    imported = pc.or_(labels["imported"], pc.equal(labels["source"], "rank"))
    here = pc.if_else(labels["simulated"], "simulated", "person")
    return ShortColumn(pc.if_else(imported, "imported", here))


FORMAT = ExportFormat(
    name="raw_labels",
    title=_("All labels with everything"),
    reader=_("Tables and your own programs"),
    consumer=_("pandas, spreadsheets and whatever reads Parquet, JSON lines or CSV"),
    help=_("reasons, flags, ties, times, sides and ids, each label as it was given."),
    config="labels",
    schema=SCHEMA,
    found=prompts_in,
    columns=_columns,
    reads=READS,
    writers=(JSON_LINES, TABLE, PARQUET),
    keeps=frozenset(HOLDINGS),
    card=CARD,
)
