"""Event files of TensorBoard, read by a reader that knows nothing but their documentation."""

import struct

import pytest

from alignment.seam.events import PhaseStarted, StepDone
from alignment.tracking.boards import Board, checksum, event_message, framed

LOSS, REWARD = {"loss": 0.5, "reward/mean": -2.25}, {"loss": 0.25}


def varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def fields(data):
    """The fields of a message: their number, and a number or bytes."""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = {1: (8, at), 5: (4, at)}.get(key & 7) or varint(data, at)
            value, at = data[at : at + size], at + size
        found.append((key >> 3, value))
    return found


def unmasked(word):
    rest = (struct.unpack("<I", word)[0] - 0xA282EAD8) & 0xFFFFFFFF
    return (rest << 15 | rest >> 17) & 0xFFFFFFFF


def messages(data):
    """The messages of a file whose checks hold."""
    while data:
        head, (size,) = data[:8], struct.unpack("<Q", data[:8])
        message = data[12 : 12 + size]
        assert unmasked(data[8:12]) == checksum(head)
        assert unmasked(data[12 + size : 16 + size]) == checksum(message)
        yield dict(fields(message))
        data = data[16 + size :]


def numbers(message):
    values = [dict(fields(value)) for _, value in fields(message[5])]
    return {value[1].decode(): struct.unpack("<f", value[2])[0] for value in values}


def test_the_checksum_is_that_of_castagnoli():
    assert checksum(b"123456789") == 0xE3069283  # the check value of its catalogue
    assert checksum(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert checksum(bytes(range(32))) == 0x46DD794E


def test_a_board_has_the_numbers_of_every_step(tmp_path):
    board = Board(tmp_path)
    for event in (
        PhaseStarted(name="training"),
        StepDone(step=1, total=300, metrics=LOSS),
        StepDone(step=300, total=300, metrics=REWARD),
    ):
        board.add(event)
    first, one, last = messages(board.path.read_bytes())
    assert first[3] == b"brain.Event:2"
    assert (one[2], numbers(one)) == (1, LOSS)
    assert (last[2], numbers(last)) == (300, REWARD)
    assert board.path.name.startswith("events.out.tfevents.")


@pytest.mark.parametrize(
    ("number", "kept"), [(1e300, "inf"), (-1e300, "-inf"), (float("nan"), "nan")]
)
def test_a_number_that_four_bytes_do_not_hold_breaks_nothing(number, kept):
    (message,) = messages(framed(event_message(1.0, 2, numbers={"loss": number})))
    assert str(numbers(message)["loss"]) == kept
