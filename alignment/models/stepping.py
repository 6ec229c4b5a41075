"""The one loop of all training: a step, its report, a checkpoint, what somebody asks meanwhile."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

from alignment.seam.errors import DivergedError
from alignment.seam.events import Event, StepDone
from alignment.seam.words import _

Progress = Generator[Event, str | None, str | None]


def nothing(_step: int) -> Iterator[Event]:
    """What stands beside a step where nothing does."""
    return iter(())


def never() -> bool:
    """Whether training is over before its last step, where nothing ends it."""
    return False


@dataclass(frozen=True)
class Loop:
    """What decides the course of a training besides its steps; steps count from 1.

    `take` does a step and gives its metrics; `save` commits a checkpoint; `beside` has events of its own after a
    step; `over` says that training is over.
    """

    total: int
    take: Callable[[int], Mapping[str, float]]
    save: Callable[[int], Event] | None = None
    every: int = 0  # steps between two checkpoints
    beside: Callable[[int], Iterator[Event]] = nothing
    over: Callable[[], bool] = never
    last: int = 0  # of this training's own steps, where it is one of several; 0: the last of all
    keeps_end: bool = False  # whether a checkpoint of the last step is saved too


def steps(loop: Loop, done: int = 0) -> Progress:
    """Step until the end or until it is over; "save" if that was asked and saved.

    "save" sent in answer to a StepDone saves a checkpoint and ends the training; what cannot be saved goes on.
    Raises DivergedError where a loss is no number.
    """
    step = saved = done
    for step in range(done + 1, (loop.last or loop.total) + 1):
        if loop.over():
            step -= 1
            break
        metrics = loop.take(step)
        check_finite(step, metrics.get("loss", 0.0))
        asked = yield StepDone(step=step, total=loop.total, metrics=metrics)
        asked = asked if loop.save else None
        if loop.save and (asked == "save" or step % loop.every == 0):
            yield loop.save(step)
            saved = step
        if asked == "save":
            return asked
        yield from loop.beside(step)
    if loop.save and loop.keeps_end and step > saved:
        yield loop.save(step)
    return None


def check_finite(step: int, loss: float, norm: float = 0.0, damaged: str = "") -> None:
    """Raise DivergedError where a loss or the norm of its gradient is no number.

    `damaged` says what a loss that is none before anything was learned tells of the model.
    """
    if damaged and step == 1 and not math.isfinite(loss):
        raise DivergedError(damaged)
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise DivergedError(
            _("The loss was {loss} at step {step}; try a lower learning rate.").format(
                loss=loss, step=step
            )
        )
