"""Every label with everything that a snapshot says of it."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from django.utils.translation import gettext_lazy as _

from webapp.datasets.exports.descriptor import CardText, ExportFormat, Row
from webapp.datasets.exports.holdings import HOLDINGS
from webapp.datasets.exports.writers import JSON_LINES, PARQUET, TABLE
from webapp.datasets.snapshots import SCHEMA as SNAPSHOT
from webapp.datasets.snapshots import SPOKEN, Entry

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


def rows(entry: Entry) -> Iterator[Row]:
    """The label as it is."""
    row = entry.row
    yield {
        "label": row["label"],
        "task": row["task"],
        "prompt_key": row["prompt_key"],
        "messages": _in_letters(row["messages"]),
        "kind": row["kind"],
        "answer": row["answer"],
        "says": entry.says,
        "items": row["items"],
        "item_ids": row["completions"],
        "item_sources": row["sources"],
        "item_models": row["models"],
        "annotator": row["annotator"],
        "origin": origin_of(row),
        "source": row["source"],
        "counted": row["counted"],
        "overruled": row["overruled"],
        "rationale": row["rationale"],
        "flags": row["flags"],
        "visible_ms": row["visible_ms"],
        "created_at": f"{row['created_at']:%Y-%m-%dT%H:%M:%S.%fZ}",
        "group": row["group"],
        "form": row["form"],
        "standing": row["standing"],
    }


def _in_letters(text: str) -> str:
    """JSON in the same letters, whoever wrote it."""
    return json.dumps(json.loads(text), ensure_ascii=False)


def origin_of(row: dict[str, Any]) -> str:
    """Who gave a label: a person, a simulated annotator or a file."""
    if row["imported"] or row["source"] == "rank":
        return "imported"
    return "simulated" if row["simulated"] else "person"


FORMAT = ExportFormat(
    name="raw_labels",
    title=_("All labels with everything"),
    reader=_("Tables and your own programs"),
    consumer=_("pandas, spreadsheets and whatever reads Parquet, JSON lines or CSV"),
    help=_("reasons, flags, ties, times, sides and ids, each label as it was given."),
    config="labels",
    schema=SCHEMA,
    rows=rows,
    reads=(*SNAPSHOT.names, *SPOKEN),
    writers=(JSON_LINES, TABLE, PARQUET),
    keeps=frozenset(HOLDINGS),
    card=CARD,
)
