"""A mapping that may be larger than memory: its last values are kept there, the others in a file that nobody else sees.

The file has no name, and is gone with the mapping or its program.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

V = TypeVar("V")
KEPT = 10_000  # values in memory
AT_ONCE = 1_000  # values that are read from the file
TABLE = "CREATE TABLE held (number INTEGER PRIMARY KEY, key TEXT UNIQUE, content TEXT)"
STORE = "INSERT OR REPLACE INTO held VALUES (?, ?, ?)"
QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"


class ScratchDict(MutableMapping[str, V]):
    """Values by their keys, in the order in which these came first.

    A value may be changed until another one is looked for, or set once more; nothing is removed.
    """

    def __init__(self, pack: Callable[[V], Any], unpack: Callable[[Any], V]) -> None:
        """What `pack` makes of a value is stored as JSON, and `unpack` is given what comes of that."""
        self.pack, self.unpack = pack, unpack
        self.recent: dict[str, tuple[int, V]] = {}
        self.size = 0
        self.file: sqlite3.Connection | None = None

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
        if self.file is None or (known := self.recent.get(key)) is not None:
            return self.recent.get(key)
        found = self.file.execute("SELECT number, content FROM held WHERE key = ? LIMIT 1", [key])
        if (row := found.fetchone()) is None:
            return None
        self._make_room()
        number, content = row
        known = self.recent[key] = number, self._read(content)
        return known

    def _make_room(self) -> None:
        if len(self.recent) >= KEPT:
            self._store()

    def _store(self) -> None:
        """Write what is in memory into the file."""
        if self.file is None:
            self.file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self.file.executescript(QUICK + TABLE)
        rows = (
            (number, key, json.dumps(self.pack(value)))
            for key, (number, value) in self.recent.items()
        )
        self.file.execute("BEGIN")
        self.file.executemany(STORE, rows)
        self.file.execute("COMMIT")
        self.recent.clear()

    def _read(self, content: str) -> V:
        return self.unpack(json.loads(content))

    def _each(self) -> Iterator[tuple[str, V]]:
        if self.file is None:
            yield from ((key, value) for key, (_number, value) in list(self.recent.items()))
            return
        self._store()
        last = -1
        while rows := self._after(self.file, last):
            for _number, key, content in rows:
                yield key, self._read(content)
            last = rows[-1][0]

    def _after(self, file: sqlite3.Connection, last: int) -> list[tuple[int, str, str]]:
        """The next numbers, keys and contents."""
        found = file.execute(
            "SELECT number, key, content FROM held WHERE number > ? ORDER BY number LIMIT ?;",
            [last, AT_ONCE],
        )
        return found.fetchall()
