"""The trainer: `python -m alignment run FOLDER` computes what a run folder describes.

Reads `config.json`, appends one JSON line per event to `events.jsonl`, obeys `control.json`. The
commands of `options` make such a folder first, and print where the result is.
Exit status: 0 done or stopped as asked, 3 failed for a reason that is in the last event, 1 a bug,
4 the disk is full, 5 done with a result that its receipts speak against.
"""

import argparse
import atexit
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NoReturn

from alignment.command_line.commands import (
    about_rows,
    begun,
    instead,
    pipe_of,
    prepared,
    processes_of,
    read_spec,
    settled,
    share_completions,
)
from alignment.command_line.options import (
    COMMANDS,
    GGUF,
    RECEIPTS,
    add_commands,
    add_gguf,
    add_receipts,
    field_lines,
    known_options,
)
from alignment.command_line.terminal import UNPROVEN, display, is_trusted
from alignment.foreign.watchdog import texts_watched
from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.seam import memory_use
from alignment.seam.errors import (
    FULL_DISK,
    PANIC,
    AlignmentError,
    ConfigError,
    OutOfMemoryError,
    explained,
)
from alignment.seam.events import Event, Failed, Finished, dump_event, parse_event
from alignment.seam.priority import give_way
from alignment.seam.progress import listening
from alignment.seam.spares import take_run
from alignment.seam.variables import TRACKERS
from alignment.tracking.trackers import followed_run
from alignment.trainer import drive, load_all, set_up_process

FAILED, BUG, STOPPED = 3, 1, 130  # exit statuses
UNUSABLE = 1  # a variable of the environment, as in every program of Attune
LOADS = 4.0  # times as long as torch alone a trainer loads, about; the first one that does says it exactly
LOOK = 0.5  # seconds between two looks at what processes hold


def program(arguments: Sequence[str] | None = None) -> int:
    """A command line in a process of its own, which gives way to others unless somebody waits; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_closed_streams()
    try:
        if arguments[:1] != ["answer"]:
            give_way(session=arguments[:1] != ["spare"])
    except ConfigError as error:  # of the environment, which no run of ours can mend
        print(error, file=sys.stderr)
        return UNUSABLE
    return main(arguments)


def _open_closed_streams() -> None:
    """Let standard streams that were closed lead nowhere: what is opened next would be taken for one of them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _leave(status: int) -> NoReturn:
    """End the process with this exit status, at once.

    Who asked to be told of the end is; what is left, taking Python down beside threads of libraries, has aborted
    runs that were over. Output that could not be written is a failure, one that nobody reads any more is none.
    """
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        status = status or FULL_DISK
        with suppress(OSError):
            print(
                f"The output could not be written: {error.strerror}.", file=sys.stderr, flush=True
            )
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do what it says; the exit status."""
    options = vars(parsed(arguments))
    command = options.pop("command")
    if (act := ACTS.get(command)) is not None:
        return act(**options)
    return _start(command, options)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says; ends the program where an option is unknown, naming the nearest."""
    top = parser()
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        known = known_options(options.command)
        name, kind = unknown[0].split("=")[0], COMMANDS.get(options.command, "")
        top.error(f"there is no {unknown[0]}{instead(kind, name, known)}")
    return options


def parser() -> argparse.ArgumentParser:
    """The command line, with a command per kind of run."""
    top = argparse.ArgumentParser(
        prog="python -m alignment",
        description="Train and align language models from files, with no web app.",
        epilog="Each command explains all its options: python -m alignment align --help",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands)
    add_receipts(commands)
    add_gguf(commands)
    command = commands.add_parser("run", help="compute the run that FOLDER/config.json describes")
    command.add_argument("folder", type=Path)
    command = commands.add_parser(
        "spare", help="load everything, then compute the run that a worker names"
    )
    command.add_argument("handle", type=int)
    command = commands.add_parser(
        "answer", help="keep models in memory and answer what a worker asks, until nobody does"
    )
    command.add_argument("handle", type=int)
    command.add_argument("--idle", type=float, default=600.0)
    command.add_argument("--threads", type=int, default=1)
    command = commands.add_parser(
        "track",
        help="tell a tracker the events of the run in a folder, or of one that computes there",
    )
    command.add_argument("folder", type=Path)
    command.add_argument("--to", choices=TRACKERS, required=True)
    command.add_argument("--offset", type=int, default=0, help="of the file of events, in bytes")
    command.add_argument("--follow", action="store_true", help="until it ends, or its input does")
    command = commands.add_parser("speed", help="measure how fast this machine computes, as JSON")
    command.add_argument("--threads", type=int, help="of the CPU (default: torch's choice)")
    command = commands.add_parser("fields", help="list the settings of a kind of run")
    command.add_argument("kind", choices=list(KINDS))
    return top


def _list_fields(kind: str) -> int:
    """Print the settings of a kind of run; the exit status."""
    print("\n".join(field_lines(kind)))
    return 0


def _compute(folder: Path) -> int:
    """Compute the run of a folder; the exit status."""
    return run(folder) or _ending(folder)


def _wait_and_compute(handle: int) -> int:
    """Load everything, then compute the run that we are told through a socket; the exit status."""
    load_all()
    folder = take_run(handle)
    give_way()
    return 0 if folder is None else _compute(folder)


def _answer(*, handle: int, idle: float, threads: int) -> int:
    """Answer what we are asked through a socket, until nobody asks; the exit status."""
    from alignment.sampling.resident import attend  # noqa: PLC0415 - loads torch

    attend(handle, idle=idle, threads=threads)
    return 0


def _track(*, folder: Path, to: str, offset: int, follow: bool) -> int:
    """Tell a tracker the events of a folder's run; the exit status."""
    from alignment.tracking.following import track  # noqa: PLC0415 - no run needs it

    return track(folder, to, offset=offset, follow=follow)


def _tell_speed(*, threads: int | None) -> int:
    """Print how fast this machine computes, and about how long a trainer loads until it can; the exit status.

    Only torch is loaded: another trainer waits for the processors meanwhile, mostly that of a first run.
    """
    began = time.perf_counter()
    import torch  # noqa: PLC0415 - only what computes loads it

    loaded = time.perf_counter() - began
    from alignment.models.speed import measure_speed  # noqa: PLC0415 - as above

    if threads:
        torch.set_num_threads(threads)
    print(json.dumps(measure_speed(start=LOADS * loaded)._asdict()))
    return 0


def _check(**options: Any) -> int:  # noqa: ANN401 - as the command line has them
    """Print the receipts of an alignment's settings, in words and as JSON; the exit status."""
    try:
        config = AlignConfig.model_validate(settled("align", options))
    except AlignmentError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return FAILED
    from alignment.objectives.receipts import receipts  # noqa: PLC0415 - help and refusals need no torch

    found = receipts(config)
    print(found.sentences)
    print(found.model_dump_json())
    return 0 if found.good else FAILED


def _take_away(**options: Any) -> int:  # noqa: ANN401 - as above
    """Write a model as one file and say how its answers compare; the exit status."""
    path: Path = options["output"]
    try:
        if path.exists():
            raise ConfigError(f"{path} is there already; name another --output.")
        from alignment.lab.gguf_files import write_checked  # noqa: PLC0415 - help and refusals need no torch

        found = write_checked(options["policy"], path, options["weights"])
    except AlignmentError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return FAILED
    print(
        f"{found.same} of {found.asked} most probable answers are the same; log-probabilities differ by "
        f"{found.largest_gap:.2g} nats a token at most."
    )
    print(path)
    return 0


def _start(command: str, options: Mapping[str, Any]) -> int:
    """Make the run folder of a command and compute it; the exit status."""
    try:
        processes, pipe = processes_of(command, options), pipe_of(command, options)
        folder = prepared(command, options)
    except AlignmentError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return FAILED
    for sentence in about_rows(folder):
        print(sentence, file=sys.stderr)
    try:
        status = run(folder, pipe) if processes == 1 else run_in(folder, processes)
    except KeyboardInterrupt:
        if RunSpec.load(folder).dry:
            rmtree(folder)
            return STOPPED
        print(f"\nStopped; go on with --output {folder} --resume.", file=sys.stderr)
        return STOPPED
    if (status == FAILED and not begun(folder)) or RunSpec.load(folder).dry:
        rmtree(folder)
        return status
    if (folder / "output").exists():
        if command == "generate":
            share_completions(folder)
        print(folder / "output", file=sys.stderr if pipe else sys.stdout)
    return status or _ending(folder)


def _ending(folder: Path) -> int:
    """The exit status of a run that came to its end, by its last event."""
    if "RANK" in os.environ:  # torchrun takes any other status for a process that broke
        return 0
    *_, last = (folder / "events.jsonl").read_bytes().splitlines()
    event = parse_event(last)
    trusted = not isinstance(event, Finished) or is_trusted(event.summary)
    return 0 if trusted else UNPROVEN


def run(folder: Path, pipe: BinaryIO | None = None) -> int:
    """Compute the run of a folder, writing its events as they come, also into a pipe; the exit status."""
    if os.environ.get("RANK", "0") != "0":
        return _assist(folder)
    try:
        with (folder / "events.jsonl").open("ab+") as lines:
            _end_torn_line(lines)
            return _run(folder, lines, display(pipe))
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):  # there may be no room to say so
            return FULL_DISK
        if not isinstance(error, FileNotFoundError):
            raise
        print(f"{folder} is not a folder.", file=sys.stderr)
        return FAILED


def run_in(folder: Path, processes: int) -> int:
    """Let torchrun compute the run of a folder in several processes; the exit status."""
    program = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, "-m", *program, "-m", "alignment", "run", str(folder)]
    return watched(command, folder)


def watched(command: Sequence[str], folder: Path) -> int:
    """Run processes that compute a folder's run, and say so where the system ended one; the exit status."""
    with subprocess.Popen(command) as program:  # noqa: S603 - ourselves
        watch = memory_use.Watch(program.pid)
        while program.poll() is None:
            watch.look()
            with suppress(subprocess.TimeoutExpired):
                program.wait(LOOK)
    squeeze = watch.squeeze()
    if program.returncode in (0, FAILED) or not squeeze.fatal:
        return program.returncode
    error = OutOfMemoryError(memory_use.told(squeeze, RunSpec.load(folder).config))
    with (folder / "events.jsonl").open("ab+") as lines:
        _end_torn_line(lines)
        lines.write(dump_event(Failed(code=error.code, message=str(error))))
    print(f"{error.code}: {error}", file=sys.stderr)
    return FAILED


def _run(folder: Path, lines: BinaryIO, show: Callable[[Event], None]) -> int:
    def say(event: Event) -> None:
        lines.write(dump_event(event))
        lines.flush()
        show(event)

    def say_if_there_is_room(event: Event) -> None:
        with suppress(OSError):  # within a computation; an event of the run's own meets the same
            say(event)

    try:
        spec = read_spec(folder)
        set_up_process(spec, folder)
        with (
            texts_watched(partial(_give_up, lines)),
            followed_run(folder, kept=not spec.dry) as told,
            _together(spec),
            listening(say_if_there_is_room),
        ):
            for event in drive(spec, folder):
                say(event)
                told.add(event)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # its traceback goes to the log, what is known of it to the run
        known = error if isinstance(error, AlignmentError) else explained(error)
        if known is not error and type(error).__name__ != PANIC:
            traceback.print_exc()
        if known is None:
            say(Failed(code="bug", message=f"{type(error).__name__}: {error}"))
            return BUG
        print(f"{known.code}: {known}", file=sys.stderr)
        say(Failed(code=known.code, message=str(known)))
        return FAILED
    return 0


def _give_up(lines: BinaryIO, error: AlignmentError) -> None:
    """End the process with a word, from beside a computation that nothing else ends."""
    print(f"{error.code}: {error}", file=sys.stderr)
    lines.write(dump_event(Failed(code=error.code, message=str(error))))
    lines.flush()
    os._exit(FAILED)


def _assist(folder: Path) -> int:
    """Compute beside the first process, which alone writes; ours goes aside. The exit status."""
    try:
        spec = read_spec(folder)
        if not spec.described.shared:
            return 0
        set_up_process(spec, folder)
        inputs = {role: str((folder / path).absolute()) for role, path in spec.inputs.items()}
        saved = str((folder / spec.resume_from).absolute()) if spec.resume_from else None
        spec = spec.model_copy(update={"inputs": inputs, "resume_from": saved})
        with TemporaryDirectory() as aside, _together(spec):
            for _ in drive(spec, Path(aside)):
                pass
    except AlignmentError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return FAILED
    return 0


def _together(spec: RunSpec) -> AbstractContextManager[object]:
    """Among the processes that torchrun started, where the run is of a kind that shares its rows."""
    from alignment.models.distributed import joined  # noqa: PLC0415 - loads torch

    return joined() if spec.described.shared else nullcontext()


def _end_torn_line(lines: BinaryIO) -> None:
    """Close what an earlier process was writing when it died, so that the next line stays whole."""
    if lines.tell():
        lines.seek(-1, os.SEEK_END)
        if lines.read(1) != b"\n":
            lines.write(b"\n")


# Commands that make no run folder, with what does them.
ACTS: Mapping[str, Callable[..., int]] = {
    "fields": _list_fields,
    "run": _compute,
    "spare": _wait_and_compute,
    "answer": _answer,
    "track": _track,
    "speed": _tell_speed,
    RECEIPTS: _check,
    GGUF: _take_away,
}

if __name__ == "__main__":
    _leave(program())
