"""Trainers that are forked where torch is loaded; `forked_trainer.py` stands for each.

A trainer of a tiny model computes for four seconds before it begins: it imports. A test that is
about something else lets the process that runs it do that once. What `-m alignment run` would do
is done in a process of its own all the same, with the folder, the files and the environment of
whoever asked, which ends as that does and is killed with it.
"""

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.forks import in_fork

LONGEST = 1 << 16  # bytes of a question
MOST = 4  # files: input and output, and a socket where one is asked through it
Program = Callable[[list[str]], int]


@contextmanager
def answering(place: Path, program: Program) -> Iterator[Path]:
    """Compute in forks of this process what is asked at this socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        server = in_fork(lambda: serve(listener, program))
    try:
        yield place
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def serve(listener: socket.socket, program: Program) -> None:
    """Answer all who ask, each beside the others."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        asker, _ = listener.accept()
        with asker:
            in_fork(lambda asker=asker: answer(asker, program))


def answer(asker: socket.socket, program: Program) -> None:
    """Compute in one more process; tell how it ended, or end it when nobody listens any more."""
    question, files, *_ = socket.recv_fds(asker, LONGEST, MOST)
    ours, its = os.pipe()  # the end of `its` says that the trainer is gone
    trainer = in_fork(lambda: compute(json.loads(question), files, program))
    for file in (its, *files):
        os.close(file)
    ended, *_ = select.select([ours, asker], [], [])
    if ours not in ended:
        os.kill(trainer, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(trainer, 0)[1])
    with suppress(OSError):
        asker.sendall(str(status).encode())


def compute(question: dict[str, object], files: list[int], program: Program) -> int:
    """What `python -m alignment` does with these arguments, as the process that asked would do it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in enumerate("rww"))
    os.environ.clear()
    os.environ.update(question["environment"])
    os.chdir(question["folder"])
    try:
        return program(question["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
