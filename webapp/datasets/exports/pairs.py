"""The preferences of labels between different texts."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from alignment.seam.records import PairRecord
from webapp.datasets.exports.statements import Statements
from webapp.datasets.snapshots import Entry


def _pairs(entry: Entry) -> Iterator[PairRecord]:
    return entry.pairs


def _are_preferring(batch: pa.RecordBatch) -> pa.Array:
    return pc.greater(batch["pairs"], 0)


PREFERENCES = Statements(
    _pairs,
    texts=("chosen", "rejected"),
    beside=(("strength", pa.int8()), ("left_won", pa.bool_())),
    among=_are_preferring,
)
