"""A program that answers at once: it keeps the models that it was asked for last, and ends when nobody asks.

What it is asked and says is in `alignment.seam.live`. It loads torch as it starts, so it is started when somebody asks.
"""

import gc
import os
import select
import socket
import traceback
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from transformers.utils import logging

from alignment.foreign.watchdog import texts_watched
from alignment.models.policies import Policy
from alignment.models.trials import sampler
from alignment.sampling.engines import answers, draw_records
from alignment.sampling.warps import Warp
from alignment.seam.errors import AlignmentError, explained
from alignment.seam.live import CALLED_OFF, LiveReply, LiveRequest, receive_message, send_message
from alignment.seam.progress import counting, listening
from alignment.seam.records import CompletionRecord
from alignment.seam.words import _

MOST = 2  # models in memory
UNKNOWN = _("The model could not answer, and nobody knows why yet: the worker's log says more.")


class CalledOff(Exception):
    """Nobody waits for this answer any more."""


class Shelf:
    """The policies that were asked for last; the oldest gives its memory back before another is loaded."""

    def __init__(self, load: Callable[[Path], Policy] = sampler) -> None:
        self._load = load
        self._kept: OrderedDict[str, Policy] = OrderedDict()

    def policy(self, folder: str) -> Policy:
        """The policy of a model folder; raises what loading raises."""
        if folder not in self._kept:
            while len(self._kept) >= MOST:
                self._kept.popitem(last=False)
                give_memory_back()
            self._kept[folder] = self._load(Path(folder))
        self._kept.move_to_end(folder)
        return self._kept[folder]

    def clear(self) -> None:
        """Keep none: there may be too little memory for what is asked."""
        self._kept.clear()
        give_memory_back()


def give_memory_back() -> None:
    """Let go of what nobody holds any more, on the device too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def attend(handle: int, *, idle: float, threads: int) -> None:
    """Answer at this socket in so many threads until it closes or nobody has asked for `idle` seconds."""
    torch.set_num_threads(threads)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # nobody looks
    with socket.socket(fileno=handle) as channel:
        answer_requests(channel, idle, Shelf())


def answer_requests(channel: socket.socket, idle: float, shelf: Shelf) -> None:
    """Answer what is asked through a channel, one request after the other, until it closes or falls silent."""
    while _says_something(channel, idle):
        try:
            if (message := receive_message(channel)) == CALLED_OFF:
                continue
            reply = _reply(channel, LiveRequest.model_validate_json(message), shelf)
            send_message(channel, reply.model_dump_json().encode())
        except (EOFError, OSError):
            return


def _reply(channel: socket.socket, request: LiveRequest, shelf: Shelf) -> LiveReply:
    """The answers, or why there are none."""
    try:
        with (
            texts_watched(partial(_give_up, channel, request.id)),
            listening(lambda _: _expect_waiting(channel)),
            counting(1, "answers"),
        ):
            return LiveReply(id=request.id, answers=tuple(_answers(request, shelf)))
    except CalledOff:
        return LiveReply(id=request.id, error="called off")  # nobody reads it
    except Exception as error:
        known = error if isinstance(error, AlignmentError) else explained(error)
        if known is not error:  # its model may be what memory is missing for
            traceback.print_exc()
            shelf.clear()
        return LiveReply(id=request.id, error=UNKNOWN if known is None else str(known))


def _answers(request: LiveRequest, shelf: Shelf) -> Sequence[CompletionRecord]:
    """One answer by each model; of one that is asked twice two, of different text where it gives as many."""
    generator = torch.Generator().manual_seed(request.seed)
    found: dict[str, list[CompletionRecord]] = {}
    for folder in dict.fromkeys(request.models):
        wanted = request.models.count(folder)
        draw = partial(
            draw_records,
            shelf.policy(folder),
            completions=wanted,
            max_new_tokens=request.max_new_tokens,
            warp=Warp(request.temperature),
            generator=generator,
        )
        found[folder] = answers(draw, [request.prompt], wanted)[0]
    return [found[folder].pop(0) for folder in request.models]


def _expect_waiting(channel: socket.socket) -> None:
    """Raise CalledOff where whoever asked says something before the answer is there, or is gone."""
    if _says_something(channel, 0):
        raise CalledOff


def _says_something(channel: socket.socket, seconds: float) -> bool:
    return bool(select.select([channel], [], [], seconds)[0])


def _give_up(channel: socket.socket, request: int, error: AlignmentError) -> None:
    """End the process with a word, from beside a computation that nothing else ends."""
    send_message(channel, LiveReply(id=request, error=str(error)).model_dump_json().encode())
    os._exit(1)
