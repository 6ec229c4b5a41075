"""One step of everything that a run would do, on few of its rows: what it makes is thrown away, what it took is told.

The whole is forecast from that: what is left of it takes as long as its parts sum up to (`alignment.seam.timing`) on
this machine, times what the part that was done took of its own sum.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoConfig

from alignment.kinds.spec import RunSpec
from alignment.models.speed import measure_speed
from alignment.models.trials import shape_from
from alignment.seam.errors import DataError
from alignment.seam.events import CheckpointSaved, Event, Finished, Ready, StepDone
from alignment.seam.memory import Shape
from alignment.seam.modelfiles import tensors_of, weights_of
from alignment.seam.timing import LETTERS, Extent, Timing

ROWS = 64  # of each file at least, so that some of them are held out
BATCH = 32  # prompts of a step that has no setting for them
BATCHES = 2  # of a file of rows
LOOKED_AT = 100  # rows whose length stands for all
FACTOR = 2.0  # by which a step may differ from its sum: what else one begins with is no part of the others
STARTS = ("policy", "backbone", "reward")  # inputs whose model a run's time goes by
# Settings, and the most of each that one step of everything needs.
FEW: Mapping[str, int] = {
    "steps": 1,
    "epochs": 1,
    "updates_per_step": 1,
    "warmup": 0,
    "folds": 0,
    "documents": 200,
    "most_tokens": 20_000,
    "held_out_prompts": 8,
    "evaluation_prompts": 4,
    "reference_completions": 2,
    "sample_prompts": 1,
    "pairs": 16,
    "sublayers": 2,
    "answers_per_prompt": 1,
}
Runner = Callable[[RunSpec, Path], Generator[Event, str | None, None]]


@dataclass
class _Taken:
    """Seconds of a dry run so far."""

    began: float = field(default_factory=time.perf_counter)
    ready: float = 0.0  # until it could begin
    whole: float = 0.0
    steps: list[float] = field(default_factory=list)

    def see(self, event: Event) -> None:
        """An event tells how far it is."""
        self.whole = time.perf_counter() - self.began
        if isinstance(event, Ready):
            self.ready = self.whole
        if isinstance(event, StepDone):
            self.steps.append(event.metrics.get("seconds/step", 0.0))


def rehearsed(run: Runner, spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """The events of one step of everything; nothing is left of it but what its Finished says it took."""
    taken = _Taken()
    with TemporaryDirectory(prefix=".tmp-dry-", dir=folder) as place:
        small = with_one_step(spec, folder, Path(place))
        with closing(run(small, Path(place))) as events:
            for event in events:
                taken.see(event)
                if isinstance(event, Finished):
                    yield Finished(summary=_told(small, spec, folder, taken))
                elif not isinstance(event, CheckpointSaved):
                    yield event


def _told(small: RunSpec, spec: RunSpec, folder: Path, taken: _Taken) -> dict[str, float]:
    """What one step took, and about how long the whole would, where its kind and its model's shape are known."""
    told = {"tried_seconds": taken.whole}
    try:
        speed = measure_speed(start=taken.ready)
        tried = Timing(speed, extent_in(small, folder))
        whole = seconds_of(spec, Timing(speed, extent_in(spec, folder)))
        done = seconds_of(small, tried)
    except (AssertionError, DataError, OSError, ValueError):  # of a shape nobody knows
        return told
    if not done:
        return told
    left = max(0.0, whole - done) * share_taken(
        small, tried, taken.steps, taken.whole - taken.ready
    )
    return told | {"whole_seconds": taken.whole + left}


def share_taken(small: RunSpec, tried: Timing, steps: Sequence[float], took: float) -> float:
    """What was done took of what it sums up to: its optimizer's steps alone, where it tells these by themselves."""
    count = small.config.get("steps")
    summed = seconds_of(small, tried)
    if count and count == len(steps) and all(steps):
        more = small.model_copy(update={"config": small.config | {"steps": 2 * count}})
        summed, took = seconds_of(more, tried) - summed, sum(steps)
    return min(max(took / summed, 1 / FACTOR), FACTOR)


def seconds_of(spec: RunSpec, timing: Timing) -> float:
    """What the parts of a run sum up to; 0 where its kind does not know."""
    return spec.described.summed(spec.settings(), timing)


def with_one_step(spec: RunSpec, folder: Path, place: Path) -> RunSpec:
    """The run of a folder with one step of everything, on the first rows of its files, which go into another place."""
    usual = spec.settings()
    given = usual.model_dump(mode="json")
    config = {  # what nothing reads stays as it is
        name: value if usual.unread(name) else _fewer(name, value, given)
        for name, value in given.items()
    }
    rows = max(ROWS, BATCHES * int(config.get("batch", 0)))
    inputs = {role: _head(folder / path, rows, place) for role, path in spec.inputs.items()}
    return spec.model_copy(
        update={"config": config, "inputs": inputs, "resume_from": None, "extends": None}
    )


def _fewer(name: str, value: Any, config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a setting's
    """A setting with which a run does one step of everything."""
    if name in ("prompts", "selected"):
        return min(value, max(BATCH, int(config.get("prompts_per_step", 0))))
    if name == "most_tokens":
        return min(value or FEW[name], FEW[name])
    return min(value, FEW[name]) if name in FEW else value


def _head(path: Path, count: int, place: Path) -> str:
    """Where the first rows of a file are; of anything else where it is itself."""
    if path.suffix != ".jsonl":
        return str(path.absolute())
    head = place.absolute() / path.name
    with path.open("rb") as lines, head.open("wb") as first:
        first.writelines(islice(lines, count))
    return str(head)


def extent_in(spec: RunSpec, folder: Path) -> Extent:
    """How much a run of this folder reads, and by which model."""
    at = {role: folder / path for role, path in spec.inputs.items()}
    start = next((at[role] for role in STARTS if role in at), None)
    files = {role: path for role, path in at.items() if path.suffix == ".jsonl"}
    counts = {role: _lines(path) for role, path in files.items()}
    prompts = counts.pop("prompts", counts.get("completions", 0))
    held = counts.pop("held_out", 0)
    corpus = at.get("corpus")
    return Extent(
        shape=None if start is None else shape_in(start),
        rows=max(counts.values(), default=0),
        prompts=max(prompts, held),
        tokens=corpus.stat().st_size // LETTERS if corpus and corpus.is_file() else 0,
        **_lengths(files),
    )


def _lines(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def _lengths(files: Mapping[str, Path]) -> dict[str, int]:
    """Tokens of a prompt, where there are some, by the letters of its rows."""
    if "prompts" not in files:
        return {}
    with files["prompts"].open("rb") as lines:
        letters = [len(line) for line in islice(lines, LOOKED_AT)]
    return {"asked": max(1, sum(letters) // max(1, len(letters)) // LETTERS)}


def shape_in(folder: Path) -> Shape:
    """What decides the time of the model in a folder, by its files alone; raises DataError, OSError."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    names = weights_of(path.name for path in folder.iterdir())
    size = tensors_of([folder / name for name in names]).elements
    return shape_from(config, size)
