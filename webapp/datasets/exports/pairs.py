"""The preferences of many labels at once, as columns.

Where what an answer says depends on the places of its two items alone, it is read once for all labels with that
answer, and texts are taken by their places. Other labels are told one by one.
"""

import json
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alignment.seam.records import PairRecord, PromptRecord
from webapp.datasets.snapshots import RANKED, Entry, Row, is_pair, records_of, rows_of
from webapp.labeling.kinds import TASK_KINDS

Numbers = NDArray[np.int64]
ANSWERS_TOLD = 256
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the batch
        ("messages", pa.string()),  # JSON
        ("prompt_key", pa.string()),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("strength", pa.int8()),
        ("annotator", pa.string()),
        ("left_won", pa.bool_()),
        ("group", pa.string()),
    ]
)


class Placed(NamedTuple):
    """What an answer says of two items: which is better, by its place, and how much."""

    better: int
    strength: int
    left_won: bool | None


def preferences_in(batch: pa.RecordBatch, split: str) -> pa.RecordBatch:
    """The preferences of one split among the rows of a snapshot (`snapshots.record_batches`), in their order."""
    preferring = pc.and_(pc.greater(batch["pairs"], 0), pc.equal(batch["split"], split))
    rows = np.flatnonzero(preferring.to_numpy(zero_copy_only=False))
    placed = pc.is_in(batch["kind"].take(pa.array(rows)), _kinds_by_place())
    known = placed.to_numpy(zero_copy_only=False)
    by_place = _by_place(batch, rows[known])
    if known.all():
        return by_place
    both = pa.concat_batches([by_place, _one_by_one(batch, rows[~known])])
    order = np.argsort(both["row"].to_numpy(), kind="stable")
    return both.take(pa.array(order))


def _kinds_by_place() -> pa.Array:
    return pa.array([RANKED, *(name for name, kind in TASK_KINDS.items() if kind.by_place)])


def _by_place(batch: pa.RecordBatch, rows: Numbers) -> pa.RecordBatch:
    chosen = batch.select(["messages", "prompt_key", "annotator", "group"]).take(pa.array(rows))
    answers = pc.binary_join_element_wise(batch["kind"], batch["answer"], " ")
    coded = answers.take(pa.array(rows)).dictionary_encode()
    said = [_said(*one.split(" ", 1)) for one in coded.dictionary.to_pylist()]
    places = coded.indices
    better = np.array([one.better for one in said], np.int64)[places.to_numpy()]
    first, texts = batch["items"].offsets.to_numpy()[rows], batch["items"].values
    columns = {
        "row": pa.array(rows, pa.int64()),
        "chosen": texts.take(pa.array(first + better)),
        "rejected": texts.take(pa.array(first + 1 - better)),
        "strength": pa.array([one.strength for one in said], pa.int8()).take(places),
        "left_won": pa.array([one.left_won for one in said], pa.bool_()).take(places),
    }
    beside = dict(zip(chosen.schema.names, chosen.columns, strict=True))
    found = beside | columns
    return pa.RecordBatch.from_arrays([found[name] for name in SCHEMA.names], schema=SCHEMA)


@lru_cache(maxsize=ANSWERS_TOLD)
def _said(kind: str, answer: str) -> Placed:
    """What an answer says of its items, which stand here for their places."""
    nobody = {"prompt_key": "", "messages": "[]", "annotator": "", "group": ""}
    (pair,) = filter(is_pair, records_of(Row(kind=kind, items=["0", "1"], answer=answer, **nobody)))
    return Placed(int(pair.chosen), pair.strength, pair.left_won)


def _is_about(pair: PairRecord, row: Row) -> bool:
    """Whether a preference is about the prompt of its row: of a conversation the first one is."""
    return bool(pair.prompt.key == row["prompt_key"])


def _written(prompt: PromptRecord) -> str:
    """A prompt's messages, as a snapshot has those of its rows."""
    return json.dumps([turn.model_dump() for turn in prompt.messages], ensure_ascii=False)


def _one_by_one(batch: pa.RecordBatch, rows: Numbers) -> pa.RecordBatch:
    labels = zip(rows.tolist(), rows_of(batch.take(pa.array(rows))), strict=True)
    told = [
        {
            "row": number,
            "messages": row["messages"] if _is_about(pair, row) else _written(pair.prompt),
            "prompt_key": pair.prompt.key,
            **pair.model_dump(exclude={"kind", "prompt"}),
        }
        for number, row in labels
        for pair in Entry(row).pairs
    ]
    return pa.RecordBatch.from_pylist(told, schema=SCHEMA)
