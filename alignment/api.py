"""Runs from Python: a call for each kind, with typed settings, whose events come as they happen.

    run = alignment.align(AlignConfig(steps=10), policy="starter", reward="reward", prompts="prompts.jsonl")
    for event in run: ...
    print(run.summary.kl_reference, run.output)

It computes in the caller's process, which gets the seed, the threads and torch's deterministic algorithms of the run;
one at a time in each thread. The folder that it leaves is as the command line's, and either goes on with it.
"""

import json
import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from alignment.command_line.commands import near, prepared, read_spec, share_completions
from alignment.command_line.options import own_name, role_of, roles_of
from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.seam.control import ask_to_stop
from alignment.seam.errors import AlignmentError, ConfigError, DataError, explained
from alignment.seam.events import Event, Failed, Finished, dump_event
from alignment.seam.progress import listening
from alignment.seam.results import Results
from alignment.seam.settings import Settings
from alignment.tracking.trackers import followed_run
from alignment.trainer import drive, set_up_process

Rows = Sequence[Mapping[str, object]]
Source = (
    str | os.PathLike[str] | Rows
)  # of an input: a folder, a file, a run, or rows as a file has them

S = TypeVar("S", bound=Settings)
R = TypeVar("R", bound=Results)


class Computation(Generic[R]):
    """A run under way: iterate it for its events. It can be named wherever a model's folder can."""

    def __init__(self, folder: Path, results: type[R]) -> None:
        self.folder = folder
        self._results = results
        self._summary: R | None = None
        self._events = self._compute()

    def __iter__(self) -> Iterator[Event]:
        """Its events from here on; raises AlignmentError where the run fails for a reason that is known."""
        return self._events

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def output(self) -> Path:
        """The folder of what it makes; computes what is left of it first."""
        self.finish()
        return self.folder / "output"

    @property
    def summary(self) -> R:
        """What it reports; computes what is left of it first. Raises ConfigError where it was stopped."""
        self.finish()
        if self._summary is None:
            raise ConfigError(f"The run in {self.folder} was stopped before it came to a result.")
        return self._summary

    def finish(self) -> None:
        """Compute what is left of it, with nobody looking at its events."""
        for _event in self._events:
            pass

    def stop(self, *, save: bool = True) -> None:
        """Let it end after the step under way, with a checkpoint where its kind keeps them; go on iterating."""
        ask_to_stop(self.folder, "save" if save else "now")

    def _compute(self) -> Generator[Event, None, None]:
        spec = read_spec(self.folder)
        set_up_process(spec, self.folder)
        counted: deque[Event] = deque()  # of phases, from below the generators
        with ExitStack() as stack:
            if spec.dry:
                stack.callback(rmtree, self.folder, ignore_errors=True)
            lines = stack.enter_context((self.folder / "events.jsonl").open("ab"))
            told = stack.enter_context(followed_run(self.folder, kept=not spec.dry))
            stack.enter_context(listening(counted.append))
            try:
                for event in drive(spec, self.folder):
                    for one in (*counted, event):
                        lines.write(dump_event(one))
                        lines.flush()
                        told.add(one)
                        if isinstance(one, Finished):
                            self._summary = self._results.model_validate(one.summary)
                        yield one
                    counted.clear()
                if self._summary is not None and spec.kind == "generate" and not spec.dry:
                    share_completions(self.folder)
            except Exception as error:
                known = error if isinstance(error, AlignmentError) else explained(error)
                code = known.code if known else "bug"
                with suppress(OSError):
                    lines.write(dump_event(Failed(code=code, message=str(known or error))))
                if known is None or known is error:
                    raise
                raise known from error


@dataclass(frozen=True)
class Call(Generic[S, R]):
    """What starts a run of one kind: its settings, and by name what it reads."""

    kind: str
    settings: type[S]
    results: type[R]

    def __call__(
        self,
        settings: S | None = None,
        *,
        output: str | os.PathLike[str] | None = None,
        seed: int = 0,
        threads: int | None = None,
        dry_run: bool = False,
        **inputs: Source,
    ) -> Computation[R]:
        """The run, in a new folder, of which nothing is computed before somebody asks for events or results.

        Raises ConfigError, DataError where something is missing, unknown or cannot be read. A dry run does one step
        of everything and leaves nothing; its summary says what that took, and about how long the whole would.
        """
        kind, known = KINDS[self.kind], roles_of(self.kind)
        for role in inputs:
            if role not in known:
                raise ConfigError(f"{kind.command} reads no {role}{near(role, known) or '.'}")
        values = (settings or self.settings()).model_dump(mode="json")
        options: dict[str, object] = {
            own_name(self.kind, name): one for name, one in values.items()
        }
        options |= {"seed": seed, "dry_run": dry_run}
        options |= {} if threads is None else {"threads": threads}
        options |= {} if output is None else {"output": os.fspath(output)}
        with TemporaryDirectory() as place:
            given = {role: self._path(role, one, Path(place)) for role, one in inputs.items()}
            folder = prepared(kind.command, options | given)
        return Computation(folder, self.results)

    def _path(self, role: str, source: Source, place: Path) -> str:
        """Where an input is; rows are written down first. Raises ConfigError where a role has none."""
        if isinstance(source, str | os.PathLike):
            return os.fspath(source)
        if role_of(self.kind, role).rows is None:
            raise ConfigError(f"{role} is a folder or a file, and not rows.")
        path = place / f"{role}.jsonl"
        with path.open("w", encoding="utf-8") as lines:
            lines.writelines(_lines_of(role, source))
        return str(path)


def _lines_of(role: str, rows: Rows) -> Iterator[str]:
    """Each row as a line of JSON; raises DataError for one that JSON has no words for."""
    for number, row in enumerate(rows, start=1):
        try:
            yield json.dumps(row) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{role}, row {number}: {error}.") from error


def go_on(folder: str | os.PathLike[str]) -> Computation[Results]:
    """Go on with the run of a folder from its newest checkpoint that verifies; raises ConfigError."""
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise ConfigError(f"There is no run in {place}.")
    kind = KINDS[RunSpec.load(place).kind]
    prepared(kind.command, {"output": place, "resume": True})
    return Computation(place, kind.results)


# What the package offers by its name; `alignment.reward` is a package of it.
RENAMED = {"reward": "train_reward"}
OFFERED: Mapping[str, object] = {
    RENAMED.get(name, name): Call(name, kind.settings, kind.results)
    for name, kind in KINDS.items()
    if kind.command
} | {"go_on": go_on}
