"""Programs that runs are told to beside their folder: each in a process of its own, which reads the run's events.

So nothing that happens there can fail a run: a library that is missing or breaks, a server that is away or slow. The
file of events is the queue; a process that is behind at the end has some seconds more, then it is ended. One line says
what was not told.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from alignment.seam.errors import ConfigError
from alignment.seam.events import Event
from alignment.seam.variables import EngineVariables, read
from alignment.tracking.boards import Board

GRACE = 10.0  # seconds after a run's end that a process may still take


class Followed:
    """What a run's events are told to beside its folder."""

    def __init__(self, folder: Path, names: Sequence[str], *, board: bool = True) -> None:
        self.board: Board | None = None
        if board:
            with self._board_tried():
                self.board = Board(folder)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in names:
            try:
                self.processes[name] = _started(folder, name)
            except OSError as error:
                _warn(f"{name} is not told of this run: {error}")

    def add(self, event: Event) -> None:
        """Tell one more; those that follow read it from the file."""
        if self.board is not None:
            with self._board_tried():
                self.board.add(event)

    def end(self) -> None:
        """Give those that follow some seconds to read the rest."""
        for name, process in self.processes.items():
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                _warn(f"{name} was not told all of this run: it did not answer in {GRACE:g} s.")

    @contextmanager
    def _board_tried(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # a run needs no board
            self.board = None
            _warn(f"TensorBoard's file is not written: {error}")


@contextmanager
def followed_run(folder: Path, *, kept: bool) -> Iterator[Followed]:
    """Tell the events of a run of this folder to a board, and to the trackers that ATTUNE_TRACKERS names.

    One of which nothing is kept is told to nobody.
    """
    try:
        names = read(EngineVariables).trackers if kept else ()
    except ConfigError as error:
        _warn(str(error))
        names = ()
    told = Followed(folder, names, board=kept)
    try:
        yield told
    finally:
        told.end()


def _started(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    """A process that tells a tracker what comes from here on; it ends once we are gone."""
    path = folder / "events.jsonl"
    offset = path.stat().st_size if path.exists() else 0
    command = [sys.executable, "-m", "alignment", "track", str(folder.absolute())]
    return subprocess.Popen(  # noqa: S603 - ourselves
        [*command, "--to", name, "--offset", str(offset), "--follow"],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _warn(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
