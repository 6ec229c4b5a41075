"""What many labels say at once, as columns: a row for each statement of a label.

Where what an answer says depends on the places of its items alone, it is read once for all labels with that answer, and
texts are taken by their places. Other labels are told one by one.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alignment.seam.records import PromptRecord
from webapp.datasets.snapshots import ACCEPTED, RANKED, Entry, Row, rows_of
from webapp.labeling.kinds import TASK_KINDS

Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]
ANSWERS_TOLD = 1024
ABOUT = ("messages", "prompt_key", "annotator", "group")  # columns of a snapshot


class Statement(Protocol):
    """Something that a label says of a prompt; what it says are attributes of the names that its sort gives."""

    @property
    def prompt(self) -> PromptRecord:
        """The prompt."""
        ...


def are_spoken(batch: pa.RecordBatch) -> pa.Array:
    """Which labels may say anything: none that is overruled, or waits for its reviewers."""
    return pc.and_not(pc.equal(batch["standing"], ACCEPTED), batch["overruled"])


@dataclass(frozen=True)
class Statements:
    """A sort of statement: how a label makes some, and their columns.

    `texts` are among those of its items. A statement's `group` is its label's unless it has one of its own.
    """

    make: Callable[[Entry], Iterable[Statement]]
    texts: tuple[str, ...]
    beside: tuple[tuple[str, pa.DataType], ...]
    among: Callable[[pa.RecordBatch], pa.Array] = are_spoken  # the labels that may make some

    @cached_property
    def schema(self) -> pa.Schema:
        """`row`, the label's place in the batch; ABOUT; what the statement says."""
        texts = [(name, pa.string()) for name in (*ABOUT, *self.texts)]
        return pa.schema([("row", pa.int64()), *texts, *self.beside])

    def found_in(self, batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
        """Those of one split among the rows of a snapshot (`snapshots.record_batches`), in their order."""
        chosen = pc.and_(self.among(batch), pc.equal(batch["split"], split))
        rows = np.flatnonzero(chosen.to_numpy(zero_copy_only=False))
        known = _are_by_place(batch, rows)
        by_place = _by_place(self, batch, rows[known])
        if known.all():
            return by_place
        both = pa.concat_batches([by_place, _one_by_one(self, batch, rows[~known])])
        order = np.argsort(both["row"].to_numpy(), kind="stable")
        return both.take(pa.array(order))


def prompts_in(batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
    """The rows of one split, whatever they say."""
    return batch.filter(pc.equal(batch["split"], split))


def _kinds_by_place() -> dict[str, int]:
    """The kinds whose answers say of any texts the same, and about how many."""
    kinds = {name: kind.items[0] for name, kind in TASK_KINDS.items() if kind.by_place}
    return {RANKED: 2, **kinds}


def _are_by_place(batch: pa.RecordBatch, rows: Numbers) -> Truths:
    """Which rows are of such a kind, and about different texts."""
    kinds = pa.array([*_kinds_by_place()], pa.string())
    known = pc.is_in(batch["kind"].take(pa.array(rows)), kinds).to_numpy(zero_copy_only=False)
    preferring = pc.greater(batch["pairs"].take(pa.array(rows)), 0)  # one text to another one
    unsure = np.flatnonzero(known & ~preferring.to_numpy(zero_copy_only=False))
    different: Truths = known.copy()
    different[unsure] = _are_different(batch["items"], rows[unsure])
    return different


def _are_different(items: pa.ListArray, rows: Numbers) -> Truths:
    """Which of these lists of one or two texts do not have the same text twice."""
    ends, texts = items.offsets.to_numpy(), items.values
    first, last = ends[rows], ends[rows + 1] - 1
    same = pc.equal(texts.take(pa.array(first)), texts.take(pa.array(last)))
    found: Truths = (first == last) | ~same.to_numpy(zero_copy_only=False)
    return found


def _by_place(sort: Statements, batch: pa.RecordBatch, rows: Numbers) -> pa.RecordBatch:
    kinds, answers = (batch[name].take(pa.array(rows)) for name in ("kind", "answer"))
    coded = pc.binary_join_element_wise(kinds, answers, " ").dictionary_encode()
    said = [_said(sort, *one.split(" ", 1)) for one in coded.dictionary.to_pylist()]
    label, place = _each(list(map(len, said)), coded.indices.to_numpy())
    told, rows = [one for each in said for one in each], rows[label]
    first, texts = batch["items"].offsets.to_numpy()[rows], batch["items"].values
    about = batch.select(ABOUT).take(pa.array(rows))
    columns = dict(zip(about.schema.names, about.columns, strict=True))
    columns["row"] = pa.array(rows, pa.int64())
    for name in sort.texts:
        item = np.array([int(getattr(one, name)) for one in told], np.int64)
        columns[name] = texts.take(pa.array(first + item[place]))
    for name, kind in sort.beside:
        columns[name] = pa.array([getattr(one, name) for one in told], kind).take(pa.array(place))
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in sort.schema.names], schema=sort.schema
    )


def _each(numbers: Sequence[int], codes: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """For each thing that rows say, where a code stands for so many: the row's place, and its own among all codes'."""
    counts = np.array(numbers, np.int64)
    times, starts = counts[codes], (np.cumsum(counts) - counts)[codes]
    row = np.repeat(np.arange(len(codes)), times)
    within = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    return row, starts[row] + within


@lru_cache(maxsize=ANSWERS_TOLD)
def _said(sort: Statements, kind: str, answer: str) -> Sequence[Statement]:
    """What an answer says of its items, which stand here for their places."""
    items = list(map(str, range(_kinds_by_place()[kind])))
    nobody = {"prompt_key": "", "messages": "[]", "annotator": "", "group": ""}
    return list(sort.make(Entry({"kind": kind, "items": items, "answer": answer, **nobody})))


def _one_by_one(sort: Statements, batch: pa.RecordBatch, rows: Numbers) -> pa.RecordBatch:
    labels = zip(rows.tolist(), rows_of(batch.take(pa.array(rows))), strict=True)
    own = [*sort.texts, *(name for name, _type in sort.beside)]
    told = [
        {"row": number, **_about(one, row), **{name: getattr(one, name) for name in own}}
        for number, row in labels
        for one in sort.make(Entry(row))
    ]
    return pa.RecordBatch.from_pylist(told, schema=sort.schema)


def _about(one: Statement, row: Row) -> dict[str, str]:
    """The columns ABOUT: of a conversation the prompt of its row is the first one."""
    same = one.prompt.key == row["prompt_key"]
    return {
        "messages": row["messages"] if same else _written(one.prompt),
        "prompt_key": one.prompt.key,
        "annotator": row["annotator"],
        "group": getattr(one, "group", row["group"]),
    }


def _written(prompt: PromptRecord) -> str:
    """A prompt's messages, as a snapshot has those of its rows."""
    return json.dumps([turn.model_dump() for turn in prompt.messages], ensure_ascii=False)
