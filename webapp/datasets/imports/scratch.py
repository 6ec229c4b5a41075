"""A mapping that may be larger than memory: its last values are kept there, the others in a file that nobody else sees.

The file has no name, and is gone with the mapping or its program.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

V = TypeVar("V")
KEPT = 10_000  # values in memory
AT_ONCE = 1_000  # values that are read from the file
BITS = 25  # of a place in the filter, which has 4 MB then: among a million keys one in 5,000 is mistaken
STEPS = (0, 13, 26, 39)  # between the places of a key, in bits of its hash
TABLE = "CREATE TABLE held (number INTEGER PRIMARY KEY, key TEXT, texts BLOB, rest TEXT)"
INDEX = "CREATE INDEX IF NOT EXISTS held_by_key ON held (key)"
STORE = "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?)"
SHAPES = 256  # of rests that are written, and read, once for all who have the same
SHORT = 500  # characters of a rest that others may have too
BETWEEN = "\0"  # texts, which are longer than all else: JSON would look at each of their characters
QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"


class KeyFilter:
    """Keys that were added (Bloom 1970): of others it says so, but for a few."""

    def __init__(self) -> None:
        self.bits = bytearray(1 << (BITS - 3))
        self.mask = (1 << BITS) - 1

    def __contains__(self, key: str) -> bool:
        known, bits, mask = hash(key), self.bits, self.mask
        for step in STEPS:
            place = known >> step & mask
            if not bits[place >> 3] >> (place & 7) & 1:
                return False
        return True

    def add(self, key: str) -> None:
        """Know this one from now on."""
        known, bits, mask = hash(key), self.bits, self.mask
        for step in STEPS:
            place = known >> step & mask
            bits[place >> 3] |= 1 << (place & 7)


Packed = tuple[Sequence[str], Any]


class ScratchDict(MutableMapping[str, V]):
    """Values by their keys, in the order in which these came first.

    A value may be changed until another one is looked for, or set once more; nothing is removed.
    """

    def __init__(self, pack: Callable[[V], Packed], unpack: Callable[[Packed], V]) -> None:
        """`pack` makes texts of a value, which are stored as they are, and a rest that is as JSON; `unpack` is given both.

        The rest may be another value's too: nothing in it is changed. One without lists and mappings, but for tuples, is
        written once for all who have the same.
        """
        self.pack, self.unpack = pack, unpack
        self.recent: dict[str, tuple[int, V]] = {}
        self.size = 0
        self.file: sqlite3.Connection | None = None
        self.stored: KeyFilter | None = None  # the keys in the file
        self.indexed = False  # from the first look on: most files hold what is asked in one place

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: str) -> V:
        if (known := self._found(key)) is None:
            raise KeyError(key)
        return known[1]

    def __setitem__(self, key: str, value: V) -> None:
        if (known := self._found(key)) is None:
            self.add(key, value)
        else:
            self.recent[key] = known[0], value

    def add(self, key: str, value: V) -> None:
        """Set the value of a key that is not there."""
        self._make_room()
        self.recent[key] = self.size, value
        self.size += 1

    def find(self, key: str) -> V | None:
        """The value of a key that may not be there."""
        known = self._found(key)
        return known[1] if known else None

    def __delitem__(self, key: str) -> None:
        raise NotImplementedError("nothing is removed")

    def __iter__(self) -> Iterator[str]:
        return (key for key, _value in self._each())

    def items(self) -> Any:  # noqa: ANN401 - pairs, but no view of them
        """Each key with its value."""
        return self._each()

    def values(self) -> Any:  # noqa: ANN401 - likewise
        """Each value."""
        return (value for _key, value in self._each())

    def _found(self, key: str) -> tuple[int, V] | None:
        known = self.recent.get(key)
        if known is not None or self.stored is None or key not in self.stored:
            return known
        if (row := self._looked_up(key)) is None:
            return None
        self._make_room()
        number, texts, rest = row
        known = self.recent[key] = number, self._read(texts, rest)
        return known

    def _looked_up(self, key: str) -> tuple[int, bytes | None, str] | None:
        """The number of a key that may be in the file, and what is kept of its value."""
        file = self._opened()
        if not self.indexed:
            file.execute(INDEX)
            self.indexed = True
        found = file.execute("SELECT number, texts, rest FROM held WHERE key = ? LIMIT 1", [key])
        row: tuple[int, bytes | None, str] | None = found.fetchone()
        return row

    def _make_room(self) -> None:
        if len(self.recent) >= KEPT:
            self._store()

    def _store(self) -> None:
        """Write what is in memory into the file."""
        file, stored = self._opened(), self.stored or KeyFilter()
        rows = (
            (number, key, *_kept(*self.pack(value))) for key, (number, value) in self.recent.items()
        )
        file.execute("BEGIN")
        file.executemany(STORE, rows)
        file.execute("COMMIT")
        for key in self.recent:
            stored.add(key)
        self.stored = stored
        self.recent.clear()

    def _opened(self) -> sqlite3.Connection:
        if self.file is None:
            self.file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self.file.executescript(QUICK + TABLE)
        return self.file

    def _read(self, texts: bytes | None, rest: str) -> V:
        read = _shape(rest) if len(rest) <= SHORT else json.loads(rest)
        return self.unpack((texts.decode().split(BETWEEN), read) if texts is not None else read)

    def _each(self) -> Iterator[tuple[str, V]]:
        if self.file is None:
            yield from ((key, value) for key, (_number, value) in list(self.recent.items()))
            return
        self._store()
        last = -1
        while rows := self._after(self.file, last):
            for _number, key, texts, rest in rows:
                yield key, self._read(texts, rest)
            last = rows[-1][0]

    def _after(
        self, file: sqlite3.Connection, last: int
    ) -> list[tuple[int, str, bytes | None, str]]:
        """The next numbers and keys, and what is kept of their values."""
        found = file.execute(
            "SELECT number, key, texts, rest FROM held WHERE number > ? ORDER BY number LIMIT ?;",
            [last, AT_ONCE],
        )
        return found.fetchall()


def _written(rest: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """JSON of what is beside texts: most of it comes again and again."""
    try:
        return _written_once(rest)
    except TypeError:  # there is a list in it
        return json.dumps(rest)


_written_once = lru_cache(SHAPES, typed=True)(json.dumps)
_shape = lru_cache(SHAPES)(json.loads)


def _kept(texts: Sequence[str], rest: object) -> tuple[bytes | None, str]:
    """Texts in one, and JSON of what is beside them: of all, where a text has what no text of a row has."""
    joined = BETWEEN.join(texts)
    if joined.count(BETWEEN) == len(texts) - 1:
        with suppress(UnicodeEncodeError):
            return joined.encode(), _written(rest)
    return None, json.dumps([texts, rest])
