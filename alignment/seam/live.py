"""What a program that answers at once is asked, and what it says: messages through a socket, each with its length before it.

Torch-free: whoever asks writes them, `alignment.sampling.resident` answers them.
"""

import socket

from pydantic import BaseModel, ConfigDict, Field

from alignment.seam.records import CompletionRecord, PromptRecord

LENGTH = 8  # bytes that say how long a message is
LONGEST = 1 << 26  # bytes of a message
CHUNK = 1 << 16
CALLED_OFF = b""  # a message: nobody waits for the answer any more


class LiveRequest(BaseModel):
    """A conversation to answer: once by each of these model folders, in their order, by one sampler's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    models: tuple[str, ...] = Field(min_length=1)
    prompt: PromptRecord
    max_new_tokens: int = Field(ge=1)
    temperature: float = Field(gt=0)
    seed: int = Field(ge=0)


class LiveReply(BaseModel):
    """The answers to the request of this id, or why there are none, in words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    answers: tuple[CompletionRecord, ...] = ()
    error: str = ""


def send_message(channel: socket.socket, message: bytes) -> None:
    """Send a whole message; raises OSError where nobody reads any more."""
    channel.sendall(len(message).to_bytes(LENGTH, "little") + message)


def receive_message(channel: socket.socket) -> bytes:
    """The next whole message; raises EOFError where none comes any more, or one that is none of ours."""
    length = int.from_bytes(_exactly(channel, LENGTH), "little")
    if length > LONGEST:
        raise EOFError
    return _exactly(channel, length)


def _exactly(channel: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        if not (part := channel.recv(min(length, CHUNK))):
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
