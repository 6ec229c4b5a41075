"""The web app's half of the kinds of run that touch its rows; all others need none.

`prepare` fills a run's folder and gives paths by the trainer's names; `publish` is called in the
transaction that says the run succeeded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from webapp.runs import inputs, outputs
from webapp.runs.kinds import (
    align,
    bring,
    checkpoint,
    evaluate,
    generate,
    population,
    pretrain,
    score,
)
from webapp.runs.models import Run


class Half(NamedTuple):
    """How a kind's inputs are written and its output published."""

    prepare: Callable[[Run, Path], dict[str, str]] = inputs.prepare
    publish: Callable[[Run, Path], None] = outputs.publish


HALVES = {
    "align": Half(align.prepare),
    "import": Half(bring.prepare, bring.publish),
    "checkpoint": Half(checkpoint.prepare, checkpoint.publish),
    "evaluate": Half(evaluate.prepare),
    "generate": Half(generate.prepare, generate.publish),
    "population": Half(publish=population.publish),
    "score": Half(score.prepare),
    "pretrain": Half(publish=pretrain.publish),
    "distil": Half(publish=pretrain.publish),  # of an encoder it makes another one
}


def half_of(kind: str) -> Half:
    """The half of a kind; the usual one where it has none of its own."""
    return HALVES.get(kind, Half())
