"""The format of a snapshot: one Parquet file with every label, ties and contradictions included.

A snapshot keeps what people said; what a trainer may use of it (`pairs_of`) is decided on reading.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alignment.seam.folders import verify
from alignment.seam.records import Message, PairRecord, PromptRecord, Split, TieRecord
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Label

LABELS = "labels.parquet"
ROWS_PER_GROUP = 10_000
ROWS_PER_BATCH = 1_000  # a page shows the first few, and should not wait for more
SCHEMA = pa.schema(
    [
        pa.field("label", pa.int64()),  # null: not a label of this dashboard
        pa.field("prompt_key", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("messages", pa.string(), nullable=False),  # JSON
        pa.field("left", pa.string(), nullable=False),
        pa.field("right", pa.string(), nullable=False),
        pa.field("chosen", pa.string()),  # null: a tie or both bad
        pa.field("rejected", pa.string()),
        pa.field("choice", pa.int8()),  # labeling.Label.Choice; null: a rank
        pa.field("strength", pa.int8(), nullable=False),
        pa.field("annotator", pa.string(), nullable=False),  # a pseudonym
        pa.field("simulated", pa.bool_(), nullable=False),
        pa.field("counted", pa.bool_(), nullable=False),
        pa.field("rationale", pa.string(), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("visible_ms", pa.int64()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # label, rank
        pa.field("group", pa.string(), nullable=False),
        pa.field("imported", pa.bool_(), nullable=False),  # older snapshots lack it
    ]
)


@dataclass(frozen=True)
class SnapshotRow:
    """One label, or one pair of an imported ranking; the fields are the columns of SCHEMA."""

    prompt_key: str
    split: str
    messages: str
    left: str
    right: str
    chosen: str | None
    rejected: str | None
    strength: int
    annotator: str
    created_at: datetime
    source: str
    label: int | None = None
    choice: int | None = None
    simulated: bool = False
    counted: bool = False
    rationale: str = ""
    flags: Sequence[str] = ()
    visible_ms: int | None = None
    group: str = ""
    imported: bool = False


def write(folder: Path, rows: Iterable[SnapshotRow]) -> Path:
    """Write the rows into the folder, a group at a time; the file written."""
    path = folder / LABELS
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as file:
        dicts = (asdict(row) for row in rows)
        while group := list(islice(dicts, ROWS_PER_GROUP)):
            file.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
    return path


def read(folder: Path, *, split: str | None = None, limit: int | None = None) -> Iterator[dict]:
    """The rows of a snapshot's folder as dicts in the order they were written."""
    yield from islice(_read(folder / LABELS, split), limit)


def _read(path: Path, split: str | None) -> Iterator[dict]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
            wanted = batch if split is None else batch.filter(pc.equal(batch["split"], split))
            yield from wanted.to_pylist()


def count(folder: Path) -> dict[str, dict[str, int]]:
    """How many rows of each kind the file holds: `pairs` by split, `choices` and `annotators` of labels."""
    names = ["split", "source", "choice", "annotator", "simulated", "chosen", "rejected"]
    rows = pq.read_table(folder / LABELS, columns=names)
    labels = rows.filter(pc.equal(rows["source"], "label"))
    preferences = rows.filter(pc.not_equal(rows["chosen"], rows["rejected"]))  # null is neither
    return {
        "splits": _tally(rows["split"]),
        "sources": _tally(rows["source"]),
        "pairs": _tally(preferences["split"]),
        "choices": _tally(labels["choice"]),
        "annotators": _tally(labels["annotator"]),
        "simulated": _tally(labels["simulated"]),
    }


def _tally(column: pa.ChunkedArray) -> dict[str, int]:
    counted = column.value_counts().to_pylist()
    return {str(row["values"]): row["counts"] for row in counted}


def labels_of(snapshot_artifact: Artifact, split: Split) -> Iterator[PairRecord | TieRecord]:
    """What people said in one split, ties and both-bad included; contradictory labels are kept.

    Raises CheckpointError where the folder is not what was frozen.
    """
    verify(snapshot_artifact.path)
    for row in read(snapshot_artifact.path, split=split):
        turns = tuple(Message(**turn) for turn in json.loads(row["messages"]))
        prompt = PromptRecord(key=row["prompt_key"], messages=turns)
        yield _tie(row, prompt) if row["chosen"] is None else _pair(row, prompt)


def pairs_of(snapshot_artifact: Artifact, split: Split) -> Iterator[PairRecord]:
    """The preferences of one split between different texts. Raises as `labels_of`."""
    for label in labels_of(snapshot_artifact, split):
        if isinstance(label, PairRecord) and label.chosen != label.rejected:
            yield label


def _pair(row: dict, prompt: PromptRecord) -> PairRecord:
    shown = row["source"] == "label"  # ranks have no sides
    return PairRecord(
        prompt=prompt,
        chosen=row["chosen"],
        rejected=row["rejected"],
        strength=row["strength"],
        annotator=row["annotator"],
        left_won=row["chosen"] == row["left"] if shown else None,
        group=row["group"],
    )


def _tie(row: dict, prompt: PromptRecord) -> TieRecord:
    return TieRecord(
        prompt=prompt,
        left=row["left"],
        right=row["right"],
        both_bad=row["choice"] == Label.Choice.BOTH_BAD,
        annotator=row["annotator"],
    )
