"""Event files of TensorBoard: the numbers of every step, as its readers take them.

A file is a series of records: the length of the data as eight bytes, a masked CRC-32C of these, the data, a masked CRC-32C
of the data (TensorFlow, “TFRecord and tf.train.Example”). The data is a message `Event` (tensorflow/core/util/event.proto) in
protocol buffers' wire format: a wall time, a step, and either the file's version or a summary of tags with numbers.
"""

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from alignment.seam.events import Event, StepDone

FOLDER = "tensorboard"  # within a run's
POLYNOMIAL, MASK = 0x82F63B78, 0xA282EAD8
LARGEST = 3.4e38  # that four bytes hold, or nearly
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


class Board:
    """The event file of a run that computes now; a folder has one for each time it was gone on with."""

    def __init__(self, folder: Path) -> None:
        (folder / FOLDER).mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / FOLDER / name
        self._write(event_message(time.time(), 0, version="brain.Event:2"))

    def add(self, event: Event) -> None:
        """Write the numbers of a step; raises OSError."""
        if isinstance(event, StepDone) and event.metrics:
            self._write(event_message(time.time(), event.step, numbers=event.metrics))

    def _write(self, message: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(framed(message))


def framed(data: bytes) -> bytes:
    """Some data with its length and both checks."""
    length = struct.pack("<Q", len(data))
    return length + _check(length) + data + _check(data)


def event_message(
    wall_time: float, step: int, *, version: str = "", numbers: Mapping[str, float] | None = None
) -> bytes:
    """The message `Event`: with a version at the head of a file, with numbers by tag for a step."""
    head = _key(1, FIXED64) + struct.pack("<d", wall_time) + _key(2, VARINT) + _varint(step)
    if numbers is None:
        return head + _sized(3, version.encode())
    values = (
        _sized(1, tag.encode()) + _key(2, FIXED32) + struct.pack("<f", _finite(number))
        for tag, number in numbers.items()
    )
    return head + _sized(5, b"".join(_sized(1, value) for value in values))


def checksum(data: bytes) -> int:
    """CRC-32C (Castagnoli, as in RFC 3720, B.4)."""
    table, found = _table(), 0xFFFFFFFF
    for byte in data:
        found = table[(found ^ byte) & 0xFF] ^ (found >> 8)
    return found ^ 0xFFFFFFFF


def _check(data: bytes) -> bytes:
    """The masked checksum as four bytes."""
    found = checksum(data)
    return struct.pack("<I", (((found >> 15) | (found << 17)) + MASK) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        rest = byte
        for _ in range(8):
            rest = (rest >> 1) ^ (POLYNOMIAL * (rest & 1))
        found.append(rest)
    return tuple(found)


def _finite(number: float) -> float:
    """A number as four bytes hold it: what is too large for them is infinite."""
    return number if not abs(number) > LARGEST else math.copysign(math.inf, number)


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _sized(field: int, data: bytes) -> bytes:
    return _key(field, BYTES) + _varint(len(data)) + data
