"""The format of a snapshot: one Parquet file with every label, ties and contradictions included.

A snapshot keeps what people said, each answer as its kind of task wrote it; what a trainer may use of it
(`labels_of`, `pairs_of`) is decided on reading.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, TypeAdapter

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
    TieRecord,
)
from webapp.artifacts.models import Artifact
from webapp.labeling.kinds import kind_named
from webapp.labeling.kinds.descriptor import Asked, Record
from webapp.site.threads import ahead

Row = dict[str, Any]
LABELS = "labels.parquet"
ROWS_PER_GROUP = 10_000
ANSWERS_KEPT = 64  # that were read: most are given by a key, and are the same again and again
TURNS: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])
ROWS_PER_BATCH = 1_000  # a page shows the first few, and should not wait for more
BYTES_PER_BATCH = 32e6
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
        pa.field("says", pa.list_(pa.string()), nullable=False),  # what `said_by` calls its records
        pa.field("task", pa.int64()),  # null: asked by no task of this dashboard
        pa.field("completions", pa.list_(pa.int64()), nullable=False),  # ids of the items
        pa.field("sources", pa.list_(pa.string()), nullable=False),  # of the items: who wrote them
        pa.field("models", pa.list_(pa.string()), nullable=False),  # of the items; "" of no model
        pa.field("standing", pa.string(), nullable=False),  # not "accepted": nothing learns from it
    ]
)
EQUAL, BOTH_BAD = "equal", "both_bad"
ACCEPTED = "accepted"  # what people wrote and nobody reviews, or enough of them found good
WITHOUT_PREFERENCE = {"tie", BOTH_BAD, EQUAL}


@dataclass(frozen=True)
class SnapshotRow:
    """One label, or one pair of an imported ranking; with `pairs`, `written` and `says` the columns of SCHEMA."""

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
    task: int | None = None
    completions: Sequence[int] = ()
    sources: Sequence[str] = ()
    models: Sequence[str] = ()
    standing: str = ACCEPTED


Look = Callable[[Row, Sequence[Record]], None]  # at a row and what it says


def write(folder: Path, rows: Iterable[SnapshotRow], look: Look | None = None) -> Iterator[int]:
    """Write the rows into the folder, a group at a time, each looked at in passing; how many are read, now and then."""
    dicts, done = (_counted(asdict(row), look) for row in rows), 0
    with pq.ParquetWriter(folder / LABELS, SCHEMA, compression="zstd") as file:
        group: list[Row] = []
        while part := list(islice(dicts, ROWS_PER_BATCH)):
            group += part
            done += len(part)
            yield done
            if len(group) == ROWS_PER_GROUP:
                file.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                group = []
        if group:
            file.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def _counted(row: Row, look: Look | None) -> Row:
    """The row with how many pairs it makes, answers to imitate and answers judged alone, and what it says."""
    records = list(records_of(row))
    if look is not None:
        look(row, records)
    written = sum(isinstance(one, DemonstrationRecord) for one in records)
    alone = sum(isinstance(one, ThumbRecord | RatingRecord) for one in records)
    counts = {"pairs": sum(map(is_pair, records)), "written": written, "alone": alone}
    return row | counts | {"says": [said_by(one) for one in records]}


def said_by(record: Record) -> str:
    """What a record is: its kind, where nothing was preferred to anything EQUAL or BOTH_BAD, or "demonstration"."""
    if isinstance(record, DemonstrationRecord):
        return "demonstration"
    if isinstance(record, TieRecord) and record.both_bad:
        return BOTH_BAD
    return EQUAL if isinstance(record, PairRecord) and not is_pair(record) else record.kind


SPOKEN = (  # columns that `records_of` reads, those of before too
    *("prompt_key", "split", "messages", "kind", "items", "answer", "annotator", "source", "group"),
    *("overruled", "standing", "says", "left", "right", "choice", "strength"),
)
TOLD = (  # columns of today by which exports know what labels say
    *("prompt_key", "split", "messages", "kind", "items", "answer", "annotator", "group", "pairs"),
    *("overruled", "standing"),
)


def read(
    folder: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    names: Collection[str] = (),
) -> Iterator[Row]:
    """The rows of a snapshot's folder as dicts in the order they were written; of all columns, or of these names."""
    yield from map(_as_now, islice(_read(folder / LABELS, split, names), limit))


def _read(path: Path, split: str | None, names: Collection[str]) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        there = [name for name in file.schema_arrow.names if name in names] or None
        for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=there):
            wanted = batch if split is None else batch.filter(pc.equal(batch["split"], split))
            yield from rows_of(wanted)


def record_batches(folder: Path, names: Sequence[str] = TOLD) -> Iterator[pa.RecordBatch]:
    """The rows of a snapshot's folder, many at once, with columns of these names as they are written today."""
    with pq.ParquetFile(folder / LABELS) as file:
        if {*names} <= {*file.schema_arrow.names}:
            with closing(ahead(file.iter_batches(_rows_at_once(file), columns=names))) as batches:
                yield from batches
            return
    rows = read(folder, names=(*SPOKEN, *names))
    schema = pa.schema([SCHEMA.field(name) for name in names])
    while group := list(islice(rows, ROWS_PER_BATCH)):
        yield pa.RecordBatch.from_pylist(list(map(_told, group)), schema=schema)


def _told(row: Row) -> Row:
    """A row of before with the columns that tell what it says."""
    entry = Entry(row)
    return row | {"pairs": sum(1 for _ in entry.pairs), "says": entry.says}


def _rows_at_once(file: pq.ParquetFile) -> int:
    """As many as a group has, fewer where they are long."""
    groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
    longest = max((one.total_byte_size / one.num_rows for one in groups if one.num_rows), default=1)
    return max(1, min(ROWS_PER_GROUP, int(BYTES_PER_BATCH / longest)))


def rows_of(batch: pa.RecordBatch) -> Iterator[Row]:
    """What `to_pylist` gives, in a fraction of its time: texts are made a column at a time."""
    columns = map(values_in, batch.columns)
    return (
        dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)
    )


def values_in(column: pa.Array) -> list[Any]:
    """The same of one column."""
    if pa.types.is_string(column.type):
        return list(column.to_numpy(zero_copy_only=False))
    if pa.types.is_list(column.type) and not column.null_count:
        parts, ends = values_in(column.flatten()), column.offsets.to_pylist()
        return [parts[a - ends[0] : b - ends[0]] for a, b in pairwise(ends)]
    values: list[Any] = column.to_pylist()
    return values


def _as_now(row: Row) -> Row:
    """Snapshots once held comparisons only, with columns for two sides, and have had fewer columns since."""
    if "kind" in row:
        return LACKING | row
    if row["source"] == "rank":
        about = {"kind": RANKED, "answer": json.dumps({"strength": row["strength"]})}
    else:
        about = {"kind": "compare", "answer": json.dumps({"choice": row["choice"]})}
    return LACKING | row | about | {"items": [row["left"], row["right"]]}


LACKING: Row = {  # by snapshots of before
    "imported": False,
    "form": 0,
    "overruled": False,
    "task": None,
    "completions": [],
    "sources": [],
    "models": [],
    "standing": ACCEPTED,
}


BESIDE = ("messages", "rationale", "flags", "simulated", "source", "group", "prompt_key")
SINCE = ("pairs", "says", "overruled", "standing")  # columns that not every snapshot has


def tables_beside(folder: Path) -> Iterator[pa.Table]:
    """All that a snapshot's rows say besides answers and their texts, as tables of some rows each."""
    with pq.ParquetFile(folder / LABELS) as file:
        there = {*file.schema_arrow.names}
        before = () if "pairs" in there else ("left", "right", "choice")
        names = [*BESIDE, *before, *(one for one in SINCE if one in there)]
        for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=names):
            yield _with_all(pa.Table.from_batches([batch]))


def _with_all(rows: pa.Table) -> pa.Table:
    """The same with the columns that snapshots once had not."""
    there = {*rows.schema.names}
    if "pairs" not in there:
        rows = rows.append_column("pairs", _pairs_before(rows).cast(pa.int16()))
    if "says" not in there:
        rows = rows.append_column("says", _says_before(rows))
    if "overruled" not in there:
        rows = rows.append_column("overruled", pa.repeat(pa.scalar(value=False), len(rows)))
    if "standing" not in there:
        rows = rows.append_column("standing", pa.repeat(pa.scalar(ACCEPTED), len(rows)))
    return rows


def _says_before(rows: pa.Table) -> pa.Array:
    """What rows are when all were about two answers, of those without a preference not told apart."""
    says = pc.if_else(pc.greater(rows["pairs"], 0), "pair", "tie")
    ends = pa.array(range(len(rows) + 1), pa.int32())
    return pa.ListArray.from_arrays(ends, says.combine_chunks())


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
        "standing",
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
        "standings": _tally(labels["standing"]),
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


@dataclass(frozen=True)
class Entry:
    """A row of a snapshot with what it says, which is read where it is asked for."""

    row: Row

    @cached_property
    def prompt(self) -> PromptRecord:
        """What was asked."""
        return prompt_of(self.row)

    @cached_property
    def records(self) -> Sequence[Record]:
        """As its kind of task tells it; raises UnknownKind."""
        return list(records_of(self.row))

    @property
    def says(self) -> list[str]:
        """What its records are, as `said_by` calls them."""
        known: list[str] | None = self.row.get("says")
        return list(map(said_by, self.records)) if known is None else known

    @property
    def pairs(self) -> Iterator[PairRecord]:
        """Its preferences between different texts."""
        return filter(is_pair, self.records)


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
        yield from imitated_in(records_of(row))


def imitated_in(said: Iterable[Record]) -> Iterable[DemonstrationRecord]:
    """Of what one row says, each text that is worth imitating once for its prompt: of a ranking only the best."""
    records = list(said)
    pairs = [one for one in records if is_pair(one)]
    beaten = {(pair.prompt.key, pair.rejected) for pair in pairs}
    best = [
        DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen)
        for pair in pairs
        if (pair.prompt.key, pair.chosen) not in beaten
    ]
    written = [one for one in records if isinstance(one, DemonstrationRecord)]
    return {(one.prompt.key, one.completion): one for one in [*best, *written]}.values()


def is_pair(record: Record) -> TypeGuard[PairRecord]:
    """Whether it is a preference between different texts."""
    return isinstance(record, PairRecord) and record.chosen != record.rejected


def records_of(row: Row) -> Iterable[Record]:
    """What a row says, as its kind tells it, nothing where it is not used; raises UnknownKind."""
    if row.get("overruled"):  # by an adjudication of its task, or as a silent repeat of an answer
        return []
    if row.get("standing", ACCEPTED) != ACCEPTED:  # it waits for its reviewers, or they rejected it
        return []
    prompt = prompt_of(row)
    if row["kind"] == RANKED:
        return [_ranked(row, prompt)]
    asked = Asked(prompt, tuple(row["items"]), row["annotator"])
    return kind_named(row["kind"]).records(asked, _answer(row["kind"], row["answer"]))


@lru_cache(maxsize=ANSWERS_KEPT)
def _answer(kind: str, answer: str) -> BaseModel:
    return kind_named(kind).Answer.model_validate_json(answer)


def prompt_of(row: Row) -> PromptRecord:
    """What a row is about."""
    return PromptRecord(key=row["prompt_key"], messages=TURNS.validate_json(row["messages"]))


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
