"""What a run says to whoever started it by hand: progress on a terminal, and everywhere what counts.

Torch-free. What speaks against a result is said in plain lines on stderr, also into a pipe.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from alignment.seam.events import Checked, Event, Finished, Fitted, StepDone
from alignment.seam.records import Estimate, Receipts

UNPROVEN = 5  # exit status of a run that ended with a result nobody should trust
SKIPPED = "prompts/skipped"


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
            said = Receipts.model_validate(summary["receipts"]).sentences
            yield f"Do not trust this result, its receipts fail: {said}"


def is_trusted(summary: Mapping[str, Any]) -> bool:
    """Whether a run's receipts, where its kind has some, speak for its result."""
    found = summary.get("receipts")
    return found is None or Receipts.model_validate(found).good


def start_in_words(start: Estimate) -> str:
    """How far from its reference a policy starts, as a sentence."""
    between = "" if start.low is None else f" ({start.low:.2g} to {start.high:.2g})"
    return f"The policy starts {start.value:.2g} nats{between} from the reference, by {start.n} prompts."


def display() -> Callable[[Event], None]:
    """What shows a run's events: with progress on a terminal, else only the notes, line by line."""
    return _with_progress() if sys.stdout.isatty() else _in_lines()


def _in_lines() -> Callable[[Event], None]:
    notes = Notes()

    def show(event: Event) -> None:
        for line in notes.of(event):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    return show


def _with_progress() -> Callable[[Event], None]:
    from rich.progress import Progress  # noqa: PLC0415 - only a terminal needs it

    progress, notes = Progress(), Notes()
    task = progress.add_task("starting", total=None)
    progress.start()

    def show(event: Event) -> None:
        match event.type:
            case "phase":
                progress.update(task, description=event.name)
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
