"""What a run reports while it works: one JSON line per event, appended to `events.jsonl`.

A long function of this library is a generator of these; whoever iterates it owns the loop.
Events carry numbers, paths and short text, never tensors.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from alignment.seam.records import Estimate, Receipts, Text
from alignment.seam.words import _

SUMMARY = Mapping[str, object]


class _Event(BaseModel):
    model_config = ConfigDict(
        frozen=True, defer_build=True, extra="forbid", ser_json_inf_nan="constants"
    )


class Ready(_Event):
    """The trainer has loaded its inputs; `host` names what it computes on."""

    type: Literal["ready"] = "ready"
    total_steps: int
    threads: int
    device: str
    resumed_step: int = 0
    bit_exact: bool = True


class Checked(_Event):
    """What was found before the first step: receipts of a toy, and how far from the reference a policy starts.

    None says that a kind of run has no receipts, or that policy and reference are one model.
    """

    type: Literal["checked"] = "checked"
    receipts: Receipts | None = None
    kl_start: Estimate | None = None


class Fitted(_Event):
    """Rows that were held against the context of the models which read them, before these were loaded."""

    type: Literal["fitted"] = "fitted"
    role: str  # of the run's input
    read: int
    cut: int  # prompts of which only the newest part is read
    dropped: int
    limit: str  # what they have to fit, in words

    @property
    def counts(self) -> dict[str, object]:
        """What became of them, as a line of a run's summary."""
        return self.model_dump(exclude={"type"})

    @property
    def all_fit(self) -> bool:
        """Whether nothing was done to any of them."""
        return not self.cut and not self.dropped

    @property
    def sentence(self) -> str:
        """What became of them, for people."""
        done = [f"{n:,} {what}" for n, what in ((self.dropped, "dropped"), (self.cut, "cut")) if n]
        too_long = f"{' and '.join(done)}, as too long for {self.limit}" if done else "all fit"
        return _("{role}: {read:,} read, {too_long}.").format(
            role=self.role, read=self.read, too_long=too_long
        )


class PhaseStarted(_Event):
    """A run moved on to its next phase."""

    type: Literal["phase"] = "phase"
    name: str


class PhaseProgressed(_Event):
    """The phase under way is so far after so many seconds; it ends at its total."""

    type: Literal["progress"] = "progress"
    done: float
    total: float
    unit: str  # what both count, as a plural
    seconds: float

    @property
    def left(self) -> float | None:
        """For how many seconds it will go on at its own pace."""
        return seconds_left(self.done, self.total, self.seconds)


class StepDone(_Event):
    """One optimizer step (or one batch, for runs that train nothing) is over."""

    type: Literal["step"] = "step"
    step: int
    total: int
    metrics: Mapping[str, float]


class SampleDrawn(_Event):
    """A completion worth showing; `stage` is "before" (the reference) or "after" (the policy)."""

    type: Literal["sample"] = "sample"
    step: int
    stage: Literal["before", "after"]
    prompt_key: str
    prompt: str
    completion: Text
    reward: float | None = None
    agent: str = ""  # of a population


class CheckpointSaved(_Event):
    """The state after `step` is on disk, complete and verified by its manifest."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    manifest_sha256: str
    bytes: int


class Warned(_Event):
    """What nobody who started a run may miss, in a sentence; told to whoever reads events from a pipe."""

    type: Literal["warning"] = "warning"
    message: str


class Finished(_Event):
    """The run is over and `output/` is complete; last event of a run that succeeded."""

    type: Literal["finished"] = "finished"
    summary: SUMMARY

    @field_validator("summary")
    @classmethod
    def _numbers_that_json_knows(cls, summary: SUMMARY) -> SUMMARY:
        return {name: without_infinities(value) for name, value in summary.items()}


class Stopped(_Event):
    """The run ended because `control.json` asked it to; `saved` says whether a checkpoint was."""

    type: Literal["stopped"] = "stopped"
    step: int
    saved: bool


class Failed(_Event):
    """The run ended on an error; `code` is a code of `alignment.seam.errors` or "bug"."""

    type: Literal["failed"] = "failed"
    code: str
    message: str


Event = Annotated[
    Ready
    | Checked
    | Fitted
    | PhaseStarted
    | PhaseProgressed
    | StepDone
    | SampleDrawn
    | CheckpointSaved
    | Warned
    | Finished
    | Stopped
    | Failed,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def seconds_left(done: float, total: float, seconds: float) -> float | None:
    """How long the rest takes at the pace so far; None while that is unknown, and once nothing is left."""
    return seconds * (total - done) / done if 0 < done < total else None


ESTIMATED = {"value", "low", "high", "n"}  # what there is of an estimate


def without_infinities(value: object) -> object:
    """Plain data with None for what is not a finite number: databases store no other JSON.

    An estimate whose value is none was not to be had: None stands for all of it.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if value.keys() >= ESTIMATED and without_infinities(value["value"]) is None:
            return None
        return {name: without_infinities(one) for name, one in value.items()}
    return [without_infinities(one) for one in value] if isinstance(value, list | tuple) else value


def parse_event(line: bytes | str) -> Event:
    """Read one line of `events.jsonl`; raises pydantic's ValidationError when it is not an event."""
    return _ADAPTER.validate_json(line)


def dump_event(event: Event) -> bytes:
    """The event as one whole JSON line."""
    return event.model_dump_json().encode() + b"\n"
