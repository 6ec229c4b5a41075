"""What a format of export says of itself; form, page, job and card ask it and know no format by name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from webapp.datasets.exports.columns import Columns
from webapp.datasets.exports.holdings import HOLDINGS
from webapp.datasets.exports.writers import JSON_LINES, PARQUET, Writer
from webapp.datasets.snapshots import TOLD
from webapp.site.words import Words

Row = dict[str, Any]
NO_COLUMNS = pa.schema([])
FoundIn = Callable[[pa.RecordBatch, str], pa.RecordBatch]  # what rows of a snapshot say, of a split
MadeOf = Callable[[pa.RecordBatch], Columns]  # what that becomes; raises ExportRefusal
Once = Callable[[pa.RecordBatch], Iterable[Sequence[str]]]  # of what has the same, the first


class CardText(NamedTuple):
    """A format in the words of the card beside its rows.

    They are English in every language: the same snapshot gives the same bytes.
    """

    row: str  # what one is
    columns: str
    noun: str  # what rows are called where they are counted


def no_files(_rows: Mapping[str, int]) -> Mapping[str, str]:
    """Nothing."""
    return {}


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format of export.

    What it does not keep of what a snapshot holds is told as left out, so that a format says of
    nothing by oversight that it is there.
    """

    name: str  # in stored jobs and names of files
    title: Words
    reader: Words  # whose format it is: formats of one reader stand together
    consumer: Words  # who reads it
    help: Words  # when to choose it
    config: str  # what `load_dataset` is asked for
    schema: pa.Schema = NO_COLUMNS  # of Parquet and tables
    found: FoundIn  # such as `Statements.found_in`
    columns: MadeOf
    reads: Sequence[str] = TOLD  # columns of a snapshot that `found` asks for
    keeps: frozenset[str]  # names of HOLDINGS
    card: CardText
    refuses: frozenset[str] = frozenset()  # names of HOLDINGS with which there is no export
    writers: tuple[Writer, ...] = (JSON_LINES, PARQUET)  # the last is what `load_dataset` opens
    once: Once | None = None
    beside: Callable[[Mapping[str, int]], Mapping[str, str]] = no_files  # files, for rows by split

    def __post_init__(self) -> None:
        """Raise TypeError where it speaks of what no snapshot holds."""
        if unknown := sorted((self.keeps | self.refuses) - HOLDINGS.keys()):
            raise TypeError(f"Format of export “{self.name}”: no snapshot holds {unknown[0]}.")
