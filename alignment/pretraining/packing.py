"""Documents as one row of tokens, and the rows of one context each that a step reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor


@dataclass(frozen=True)
class Stream:
    """Token ids (n,) of documents with the end token before, between and behind them; `ends` are its places.

    The ids may lie in a file and be read where they are asked for.
    """

    ids: Tensor
    ends: Tensor

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.ends) - 1

    def document(self, number: int) -> Tensor:
        """The token ids of a document, with the end tokens around it."""
        first, last = self.ends[number : number + 2].tolist()
        return self.ids[first : last + 1]


class StreamWriter:
    """Writes a stream into a file, document by document."""

    def __init__(self, path: Path, end: int) -> None:
        self.path, self.end = path, end
        self.file: BinaryIO = path.open("wb")
        self.places: list[int] = []
        self.size = 0
        self._close_document()

    def add(self, ids: Sequence[int], *, last: bool) -> None:
        """More tokens of a document, which ends here or goes on; one without tokens is none."""
        self._write(ids)
        if last and self.size > self.places[-1] + 1:
            self._close_document()

    def finish(self) -> Stream:
        """The stream, whose ids stay in the file."""
        self.file.close()
        ids = torch.from_file(str(self.path), shared=False, size=self.size, dtype=torch.int32)
        return Stream(ids, torch.tensor(self.places))

    def _close_document(self) -> None:
        self.places.append(self.size)
        self._write([self.end])

    def _write(self, ids: Sequence[int]) -> None:
        self.file.write(torch.tensor(ids, dtype=torch.int32).numpy().tobytes())
        self.size += len(ids)


def pack(ends: Tensor, length: int, apart: int = 0) -> Tensor:
    """(rows, 2) where each row of at most `length` tokens begins and ends in a stream; neighbours share a token.

    A row takes as many whole documents as fit, with room for `apart` more tokens of each; a document that is
    longer than a row is cut. So every token but the first is predicted in one row, from what stands there before it.
    """
    adjusted = ends + apart * torch.arange(len(ends))
    rows, start, number, last = [], int(ends[0]), 0, int(ends[-1])
    while start < last:
        room = start + apart * number + length - 1
        fits = int(torch.searchsorted(adjusted, room, right=True)) - 1
        stop = start + length - 1 - apart
        if int(ends[fits]) > start:
            stop, number = int(ends[fits]), fits
        rows.append((start, stop + 1))
        start = stop
    return torch.tensor(rows).reshape(-1, 2)


def token_rows(stream: Stream, rows: Tensor) -> list[Tensor]:
    """The token ids of rows (n, 2) of a stream."""
    return [stream.ids[first:stop].long() for first, stop in rows.tolist()]


def padded(rows: Sequence[Tensor], fill: int) -> Tensor:
    """(n, longest) rows side by side, filled on the right."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=fill)
