"""The demo's progress in a terminal: live where there is one, plain lines where there is none."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class TerminalReporter:
    """One line a step: what it is, how far, how long."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr, highlight=False)
        self.live = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]:<28}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = TaskID(0)
        self.title = ""
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the lines as they are."""
        self.live.stop()

    def step(self, title: str) -> None:
        """A new step begins."""
        self.title, self.began = title, time.monotonic()
        self.task = self.live.add_task(title, total=None, note="")

    def progress(self, done: float, total: float, note: str = "") -> None:
        """The current step moved on."""
        self.live.update(self.task, completed=done, total=total or None, note=note[:28])

    def done(self, note: str) -> None:
        """The current step is over."""
        self.live.update(self.task, completed=1, total=1, note=note[:28])
        self.live.stop_task(self.task)
        if not self.console.is_terminal:
            self.console.print(
                f"{self.title}: {note or 'done'} ({time.monotonic() - self.began:.1f} s)"
            )
