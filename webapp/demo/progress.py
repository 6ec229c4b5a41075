"""The demo's progress in a terminal: a line for each step that is over, and how far the one under way is."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class TerminalReporter:
    """One line a step: what came of it, how long it took, and the page that shows it."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr, highlight=False)
        self.live = Progress(
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[note]:<20}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,  # a step that is over has a line
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
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
        if self.task is not None:
            self.live.update(self.task, completed=done, total=total or None, note=note[:20])

    def done(self, note: str, page: str) -> None:
        """The current step is over."""
        if self.task is not None:
            self.live.remove_task(self.task)
        self.task = None
        seconds = time.monotonic() - self.began
        self.say(f"{self.title}: {note or 'done'} ({seconds:.1f} s)  {page}")

    def say(self, text: str) -> None:
        """A line of its own; an address in it stays whole, so that it can be clicked."""
        self.console.print(text, soft_wrap=True, markup=False)
