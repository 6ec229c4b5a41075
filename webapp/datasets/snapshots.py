"""The format of a snapshot: one Parquet file with every label, ties and contradictions included.

A snapshot keeps what people said, each answer as its kind of task wrote it; what a trainer may use of it
(`labels_of`, `pairs_of`) is decided on reading.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alignment.seam.folders import verify
from alignment.seam.records import (
    DemonstrationRecord,
    FlagRecord,
    JudgedRecord,
    LabelRecord,
    Message,
    PairRecord,
    PromptRecord,
    RatingRecord,
    ThumbRecord,
)
from webapp.artifacts.models import Artifact
from webapp.labeling.kinds import kind_named
from webapp.labeling.kinds.descriptor import Asked, Record

Row = dict[str, Any]
LABELS = "labels.parquet"
ROWS_PER_GROUP = 10_000
ROWS_PER_BATCH = 1_000  # a page shows the first few, and should not wait for more
RANKED = (
    "ranked"  # not asked by a task: a file says that the first of two is better than the second
)
SCHEMA = pa.schema(
    [
        pa.field("label", pa.int64()),  # null: not a label of this dashboard
        pa.field("prompt_key", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("messages", pa.string(), nullable=False),  # JSON
        pa.field("kind", pa.string(), nullable=False),  # of task, or RANKED
        pa.field("items", pa.list_(pa.string()), nullable=False),  # in the order they were shown
        pa.field("answer", pa.string(), nullable=False),  # JSON: the kind's; of RANKED a strength
        pa.field("pairs", pa.int16(), nullable=False),  # preferences between different texts
        pa.field("written", pa.int16(), nullable=False),  # answers worth imitating, by a person
        pa.field("alone", pa.int16(), nullable=False),  # thumbs and marks for answers by themselves
        pa.field("annotator", pa.string(), nullable=False),  # a pseudonym
        pa.field("simulated", pa.bool_(), nullable=False),
        pa.field("counted", pa.bool_(), nullable=False),
        pa.field("rationale", pa.string(), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("visible_ms", pa.int64()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # label, adjudication, rank
        pa.field("group", pa.string(), nullable=False),
        pa.field("imported", pa.bool_(), nullable=False),
        pa.field("form", pa.int32(), nullable=False),  # of the project; 0: not known
        pa.field("overruled", pa.bool_(), nullable=False),  # another answer speaks instead
    ]
)


@dataclass(frozen=True)
class SnapshotRow:
    """One label, or one pair of an imported ranking; with `pairs` and `written` the columns of SCHEMA."""

    prompt_key: str
    split: str
    messages: str
    kind: str
    items: Sequence[str]
    answer: str
    annotator: str
    created_at: datetime
    source: str
    label: int | None = None
    simulated: bool = False
    counted: bool = False
    rationale: str = ""
    flags: Sequence[str] = ()
    visible_ms: int | None = None
    group: str = ""
    imported: bool = False
    form: int = 0
    overruled: bool = False


def write(folder: Path, rows: Iterable[SnapshotRow]) -> Path:
    """Write the rows into the folder, a group at a time; the file written."""
    path = folder / LABELS
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as file:
        dicts = (_counted(asdict(row)) for row in rows)
        while group := list(islice(dicts, ROWS_PER_GROUP)):
            file.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
    return path


def _counted(row: Row) -> Row:
    """The row with how many pairs it makes, and how many answers to imitate that somebody wrote."""
    records = list(records_of(row))
    written = sum(isinstance(one, DemonstrationRecord) for one in records)
    alone = sum(isinstance(one, ThumbRecord | RatingRecord) for one in records)
    return row | {"pairs": sum(map(is_pair, records)), "written": written, "alone": alone}


def read(folder: Path, *, split: str | None = None, limit: int | None = None) -> Iterator[Row]:
    """The rows of a snapshot's folder as dicts in the order they were written."""
    yield from map(_as_now, islice(_read(folder / LABELS, split), limit))


def _read(path: Path, split: str | None) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH):
            wanted = batch if split is None else batch.filter(pc.equal(batch["split"], split))
            yield from wanted.to_pylist()


def _as_now(row: Row) -> Row:
    """Snapshots once held comparisons only, with columns for two sides, and said nothing of forms."""
    if "kind" in row:
        return row if "form" in row else row | {"form": 0}
    if row["source"] == "rank":
        about = {"kind": RANKED, "answer": json.dumps({"strength": row["strength"]})}
    else:
        about = {"kind": "compare", "answer": json.dumps({"choice": row["choice"]})}
    return {"imported": False, "form": 0} | row | about | {"items": [row["left"], row["right"]]}


def columns(folder: Path) -> pa.Table:
    """All that a snapshot's rows say besides answers and their texts, as a table."""
    path = folder / LABELS
    there = pq.read_schema(path).names
    if "pairs" in there:
        return pq.read_table(path, columns=[*BESIDE, "pairs"])
    rows = pq.read_table(path, columns=[*BESIDE, "left", "right", "choice"])
    return rows.append_column("pairs", _pairs_before(rows).cast(pa.int16()))


BESIDE = ["messages", "rationale", "flags", "simulated", "source", "group"]


def _pairs_before(rows: pa.Table) -> pa.ChunkedArray:
    """Which rows were preferences when all were about two answers."""
    preferred = pc.invert(pc.is_in(rows["choice"], pa.array([0, 4])))  # both bad, tie
    ranked = pc.equal(rows["source"], "rank")
    return pc.and_(pc.or_(ranked, preferred), pc.not_equal(rows["left"], rows["right"]))


def count(folder: Path) -> dict[str, Any]:
    """How much of what the file holds: `pairs` and `written` by split, `answers` by kind, `annotators` of labels."""
    names = [
        "split",
        "source",
        "kind",
        "answer",
        "annotator",
        "simulated",
        "pairs",
        "written",
        "alone",
    ]
    rows = pq.read_table(folder / LABELS, columns=names)
    labels = rows.filter(pc.equal(rows["source"], "label"))
    return {
        "splits": _tally(rows["split"]),
        "sources": _tally(rows["source"]),
        "pairs": _by_split(rows, "pairs"),
        "written": _by_split(rows, "written"),
        "alone": _by_split(rows, "alone"),
        "kinds": (kinds := _tally(labels["kind"])),
        "answers": {kind: _answers(kind, labels) for kind in kinds},
        "annotators": _tally(labels["annotator"]),
        "simulated": _tally(labels["simulated"]),
    }


def _by_split(rows: pa.Table, name: str) -> dict[str, int]:
    """What a column of numbers adds up to in each split that has any of it."""
    sums = rows.filter(pc.greater(rows[name], 0)).group_by("split").aggregate([(name, "sum")])
    return {row["split"]: row[f"{name}_sum"] for row in sums.to_pylist()}


def _answers(kind: str, labels: pa.Table) -> dict[str, int]:
    """How often each answer was given that a key gives; of others there are too many to tell."""
    known = kind_named(kind)
    given = _tally(labels.filter(pc.equal(labels["kind"], kind))["answer"])
    steps = [known.canonical(key.answer) for key in known.keys if key.answer is not None]
    return {answer: given[answer] for answer in steps if answer in given}


def _tally(column: pa.ChunkedArray) -> dict[str, int]:
    counted = column.value_counts().to_pylist()
    return {str(row["values"]): row["counts"] for row in counted}


def judged_of(snapshot_artifact: Artifact, split: str) -> Iterator[JudgedRecord]:
    """What each person said of answers of one split, with the flags that they set beside it. Raises as `labels_of`."""
    verify(snapshot_artifact.path)
    for row in read(snapshot_artifact.path, split=split):
        labels = [one for one in records_of(row) if not isinstance(one, DemonstrationRecord)]
        if labels:
            asked = row["source"] == "label" and not row["imported"]
            yield JudgedRecord(labels=tuple(labels), flags=_flags(row, labels), asked=asked)


def _flags(row: Row, labels: Sequence[Record]) -> tuple[str, ...]:
    """Those that were set beside an answer, and those that are the answer."""
    said = [flag for one in labels if isinstance(one, FlagRecord) for flag in one.flags]
    return tuple(dict.fromkeys([*row["flags"], *said]))


def labels_of(snapshot_artifact: Artifact, split: str) -> Iterator[LabelRecord]:
    """What people said in one split, ties and both-bad included; contradictory labels are kept.

    Raises CheckpointError where the folder is not what was frozen.
    """
    verify(snapshot_artifact.path)
    for row in read(snapshot_artifact.path, split=split):
        for record in records_of(row):
            if not isinstance(record, DemonstrationRecord | FlagRecord):
                yield record


def pairs_of(snapshot_artifact: Artifact, split: str) -> Iterator[PairRecord]:
    """The preferences of one split between different texts. Raises as `labels_of`."""
    for label in labels_of(snapshot_artifact, split):
        if is_pair(label):
            yield label


def thumbs_of(snapshot_artifact: Artifact, split: str) -> Iterator[ThumbRecord]:
    """Answers of one split that were liked or not: by a thumb, or by a mark off the middle. Raises as `labels_of`."""
    for label in labels_of(snapshot_artifact, split):
        if isinstance(label, ThumbRecord):
            yield label
        elif isinstance(label, RatingRecord) and 2 * label.rating != label.levels + 1:
            yield ThumbRecord(
                prompt=label.prompt,
                completion=label.completion,
                good=2 * label.rating > label.levels + 1,
                annotator=label.annotator,
            )


def imitated_of(snapshot_artifact: Artifact, split: str) -> Iterator[DemonstrationRecord]:
    """What people of one split wrote, and what they preferred to all else. Raises as `labels_of`."""
    verify(snapshot_artifact.path)
    for row in read(snapshot_artifact.path, split=split):
        yield from _imitated(list(records_of(row)))


def _imitated(records: Sequence[Record]) -> Iterable[DemonstrationRecord]:
    """Of what one row says, each text that is worth imitating once: of a ranking only the best."""
    pairs = [one for one in records if is_pair(one)]
    beaten = {pair.rejected for pair in pairs}
    best = [
        DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen)
        for pair in pairs
        if pair.chosen not in beaten
    ]
    written = [one for one in records if isinstance(one, DemonstrationRecord)]
    return {one.completion: one for one in [*best, *written]}.values()


def is_pair(record: Record) -> TypeGuard[PairRecord]:
    """Whether it is a preference between different texts."""
    return isinstance(record, PairRecord) and record.chosen != record.rejected


def records_of(row: Row) -> Iterable[Record]:
    """What a row says, as its kind tells it, nothing where it is overruled; raises UnknownKind."""
    if row.get("overruled"):  # by an adjudication of its task, or as a silent repeat of an answer
        return []
    turns = tuple(Message(**turn) for turn in json.loads(row["messages"]))
    prompt = PromptRecord(key=row["prompt_key"], messages=turns)
    if row["kind"] == RANKED:
        return [_ranked(row, prompt)]
    kind = kind_named(row["kind"])
    asked = Asked(prompt, tuple(row["items"]), row["annotator"])
    return kind.records(asked, kind.Answer.model_validate_json(row["answer"]))


def _ranked(row: Row, prompt: PromptRecord) -> PairRecord:
    better, worse = row["items"]
    return PairRecord(
        prompt=prompt,
        chosen=better,
        rejected=worse,
        strength=json.loads(row["answer"])["strength"],
        annotator=row["annotator"],
        group=row["group"],
    )
