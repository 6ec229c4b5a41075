"""What a run says to whoever started it by hand: progress on a terminal, and everywhere what counts.

Torch-free. What speaks against a result is said in plain lines on stderr, also into a pipe.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from alignment.seam.events import (
    Checked,
    Event,
    Finished,
    Fitted,
    PhaseProgressed,
    PhaseStarted,
    StepDone,
    Warned,
    dump_event,
)
from alignment.seam.records import Estimate, Receipts

UNPROVEN = 5  # exit status of a run that ended with a result nobody should trust
SKIPPED = "prompts/skipped"
LINE_EVERY = 10.0  # seconds between two lines about a phase, into a pipe


@dataclass
class Notes:
    """The sentences of a run that nobody may miss, in the order of its events."""

    steps: int = 0
    skipped: list[float] = field(default_factory=list)  # prompts, by step that left some out

    def of(self, event: Event) -> Iterator[str]:
        """What an event adds."""
        match event:
            case Checked(receipts=receipts, kl_start=start):
                if receipts is not None and not receipts.good:
                    yield f"The receipts fail: {receipts.sentences}"
                if start is not None:
                    yield start_in_words(start)
            case Fitted():
                yield event.sentence
            case StepDone(metrics=metrics):
                self.steps += 1
                if left_out := metrics.get(SKIPPED, 0.0):
                    self.skipped.append(left_out)
            case Finished(summary=summary):
                yield from self._at_the_end(summary)

    def _at_the_end(self, summary: Mapping[str, Any]) -> Iterator[str]:
        if took := summary.get("tried_seconds"):
            yield tried_in_words(took, summary.get("whole_seconds"))
        if self.skipped:
            yield (
                f"In {len(self.skipped)} of {self.steps} steps prompts were skipped, {sum(self.skipped):,.0f} in all: "
                "no completion of theirs that was seen is in the target."
            )
        rows = [Fitted.model_validate(row) for row in summary.get("rows", [])]
        yield from (row.sentence for row in rows if row.all_fit)  # of the others it was said before
        for what in ("prompts", "answers"):
            if count := summary.get(f"{what}_with_control_tokens"):
                yield f"{count:,} {what} hold control tokens, which are text here; many servers obey them."
        if not is_trusted(summary):
            yield f"Do not trust this result, its receipts fail: {_failures(summary)}"


def _failures(summary: Mapping[str, Any]) -> str:
    """What a run's receipts say against it."""
    broken = [one for one in summary.get("checks", []) if not one["holds"]]
    if broken:
        return "; ".join(
            f"{one['what']}: {one['found']:.3g}, at most {one['most']:.3g}" for one in broken
        )
    return Receipts.model_validate(summary["receipts"]).sentences


@dataclass
class Pace:
    """How far a phase is, in a line every so often; a short one says nothing."""

    phase: str = ""
    said: float = 0.0  # seconds into the phase

    def of(self, event: Event) -> Iterator[str]:
        """What an event adds."""
        match event:
            case PhaseStarted(name=name):
                self.phase, self.said = name, 0.0
            case PhaseProgressed(seconds=seconds) if seconds - self.said >= LINE_EVERY:
                self.said = seconds
                yield f"{self.phase}: {in_words(event)}"


def in_words(progress: PhaseProgressed) -> str:
    """How far a phase is, and about how long it will go on."""
    found = f"{int(progress.done):,} of {int(progress.total):,} {progress.unit}"
    return found if progress.left is None else f"{found}, about {duration(progress.left)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def tried_in_words(took: float, whole: float | None) -> str:
    """What a dry run took, and what the run would take where that is known, as a sentence."""
    sentence = f"One step of everything took {took:.3g} s"
    return (
        f"{sentence}."
        if whole is None
        else f"{sentence}; the whole would take about {duration(whole)}."
    )


def is_trusted(summary: Mapping[str, Any]) -> bool:
    """Whether a run's receipts, where its kind has some, speak for its result."""
    found, checks = summary.get("receipts"), summary.get("checks", [])
    proven = found is None or Receipts.model_validate(found).good
    return proven and all(check["holds"] for check in checks)


def start_in_words(start: Estimate) -> str:
    """How far from its reference a policy starts, as a sentence."""
    between = "" if start.low is None else f" ({start.low:.2g} to {start.high:.2g})"
    return f"The policy starts {start.value:.2g} nats{between} from the reference, by {start.n} prompts."


def display(pipe: BinaryIO | None = None) -> Callable[[Event], None]:
    """What shows a run's events: with progress on a terminal, else only the notes, line by line.

    Into a pipe it writes each event and each note as a JSON line.
    """
    if pipe is not None:
        return _into(pipe, _in_lines())
    return _with_progress() if sys.stdout.isatty() else _in_lines()


def _into(pipe: BinaryIO, beside: Callable[[Event], None]) -> Callable[[Event], None]:
    notes, reads = Notes(), True  # whether somebody does, at the other end

    def show(event: Event) -> None:
        nonlocal reads
        beside(event)
        said = [Warned(message=note) for note in notes.of(event)]
        with suppress(OSError, ValueError):
            if reads:
                reads = False
                pipe.write(b"".join(map(dump_event, (*said, event))))
                pipe.flush()
                reads = True

    return show


def _in_lines() -> Callable[[Event], None]:
    notes, pace = Notes(), Pace()

    def show(event: Event) -> None:
        for line in (*notes.of(event), *pace.of(event)):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return show


def _with_progress() -> Callable[[Event], None]:
    from rich.progress import Progress  # noqa: PLC0415 - only a terminal needs it

    progress, notes = Progress(), Notes()
    task = progress.add_task("starting", total=None)
    phase = progress.add_task("", total=None, visible=False)
    progress.start()

    def show(event: Event) -> None:
        match event.type:
            case "phase":
                progress.update(task, description=event.name)
                progress.reset(phase, visible=False)
            case "progress":
                line = f"{int(event.done):,} of {int(event.total):,} {event.unit}"
                done, total = event.done, event.total
                progress.update(phase, description=line, completed=done, total=total, visible=True)
            case "step":
                line = "  ".join(f"{name} {value:.4g}" for name, value in event.metrics.items())
                progress.update(task, completed=event.step, total=event.total)
                progress.console.print(f"step {event.step}: {line}", highlight=False)
            case "finished" | "stopped" | "failed":
                progress.stop()
                progress.console.print(event.model_dump())
        for line in notes.of(event):
            progress.console.print(line, highlight=False, markup=False)

    return show
