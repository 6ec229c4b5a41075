"""What a frozen backbone says of sequences, computed once: in memory, and between runs in a cache on disk.

A row is known by its tokens, so that whatever decides them, the chat template too, is in its name; a folder of the
cache is named after the model's files and how they are read. Its files are complete or not there, and the oldest go.
"""

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from alignment.models.distributed import gathered, own, world
from alignment.models.loading import is_sealed
from alignment.reward.model import RewardModel
from alignment.seam.folders import MANIFEST, file_sha256, manifest_sha256

MOST = 2 << 30  # bytes of a cache's features, of all models together
BEFORE = "features-"  # the names of the cache's folders
READING = 1  # changes where the same tokens come to be read otherwise
DIGEST = 32  # bytes


@dataclass(frozen=True)
class FeatureStore:
    """The features of one model, read in one way, in a folder of a cache."""

    folder: Path

    @classmethod
    def of(cls, cache: Path, backbone: Path, *how: str) -> "FeatureStore":
        """Where a cache keeps those of a backbone's folder, read like this."""
        told = "\0".join([folder_identity(backbone), str(READING), torch.__version__, *how])
        return cls(cache / f"{BEFORE}{hashlib.sha256(told.encode()).hexdigest()[:24]}")

    def known(self, wanted: Sequence[bytes]) -> dict[bytes, Tensor]:
        """Those of these rows that are kept, each (width,); a damaged file is removed."""
        left, found = set(wanted), dict[bytes, Tensor]()
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                found |= dict(_rows_in(path, left))
                os.utime(path)
            except (OSError, SafetensorError, ValueError):
                path.unlink(missing_ok=True)
        return found

    def keep(self, names: Sequence[bytes], rows: Tensor) -> None:
        """Add rows (n, width) under their names; whatever cannot be written is computed again next time."""
        told = hashlib.sha256(b"".join(names)).hexdigest()[:24]
        path = self.folder / f"{told}.safetensors"
        aside = path.with_suffix(f".{os.getpid()}.tmp")
        listed = torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8).view(-1, DIGEST)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({"names": listed, "rows": rows.cpu().contiguous()}, aside)
            aside.rename(path)
            _drop_oldest(self.folder.parent)
        except (OSError, SafetensorError):
            with suppress(OSError):
                aside.unlink(missing_ok=True)


class FeatureTable:
    """What the heads of a model will read of sequences; each is read once, by one of a run's processes."""

    def __init__(self, model: RewardModel, store: FeatureStore | None = None) -> None:
        self.model = model
        self._store = store
        self._places: dict[bytes, int] = {}
        self._rows = torch.zeros(0, model.head.in_features, device=model.trunk.device)

    def of(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, width) features of sequences, those that were unknown among them."""
        names = [digest_of(ids) for ids in sequences]
        unknown = {
            name: ids
            for name, ids in zip(names, sequences, strict=True)
            if name not in self._places
        }
        if unknown:
            self._learn(unknown)
        return self._rows[[self._places[name] for name in names]]

    def _learn(self, unknown: dict[bytes, Sequence[int]]) -> None:
        """Take rows from the store, and read what it lacks."""
        stored = self._store.known(list(unknown)) if self._store else {}
        if stored:
            self._add(list(stored), torch.stack(list(stored.values())))
        left = [name for name in unknown if name not in stored]
        if left:
            rows = self._read([unknown[name] for name in left])
            self._add(left, rows)
            if self._store and world().rank == 0:
                self._store.keep(left, rows)

    def _read(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n, width) of sequences, which a run's processes share."""
        mine = own(len(sequences))
        rows = self._rows[:0]
        if mine:
            rows = self.model.features(sequences[mine.start : mine.stop])
        return gathered(rows.float())

    def _add(self, names: Sequence[bytes], rows: Tensor) -> None:
        for place, name in enumerate(names, start=len(self._rows)):
            self._places[name] = place
        self._rows = torch.cat([self._rows, rows.to(self._rows.device)])


def digest_of(sequence: Sequence[int]) -> bytes:
    """What a sequence is known by: the SHA-256 of its tokens."""
    return hashlib.sha256(array("q", sequence).tobytes()).digest()


def folder_identity(folder: Path) -> str:
    """The identity of a model's folder: its manifest's where a run of ours sealed it, else of all its files."""
    if is_sealed(folder):
        place = folder if (folder / MANIFEST).is_file() else folder.parent
        return f"{manifest_sha256(place)} {'' if place == folder else folder.name}"
    files = sorted(path for path in folder.iterdir() if path.is_file())
    told = "\n".join(f"{path.name} {file_sha256(path)}" for path in files)
    return hashlib.sha256(told.encode()).hexdigest()


def _rows_in(path: Path, left: set[bytes]) -> Iterator[tuple[bytes, Tensor]]:
    """The rows of a file that are still asked for, which then are no more."""
    with safe_open(path, "pt") as file:
        listed = file.get_tensor("names").numpy().tobytes()
        names = [listed[at : at + DIGEST] for at in range(0, len(listed), DIGEST)]
        places = [place for place, name in enumerate(names) if name in left]
        if not places:
            return
        for place, row in zip(places, file.get_tensor("rows")[places], strict=True):
            left.discard(names[place])
            yield names[place], row


def _drop_oldest(cache: Path) -> None:
    """Remove the files that were not asked for the longest, as long as there are too many bytes."""
    files = [(path.stat(), path) for path in cache.glob(f"{BEFORE}*/*.safetensors")]
    total = sum(stat.st_size for stat, _path in files)
    for stat, path in sorted(files, key=lambda one: one[0].st_mtime_ns):
        if total <= MOST:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
