"""A look at foreign files in a fork of this process, within limits of time and memory.

Loaders of models read what somebody else wrote: they may loop, take all memory, or take the process
with them. A fork costs milliseconds where a fresh interpreter would load torch again.
"""

import faulthandler
import gc
import json
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from alignment.seam.errors import AlignmentError, ConfigError, DataError, OutOfMemoryError
from alignment.seam.modelfiles import printable
from alignment.seam.progress import reach
from alignment.seam.words import _

SECONDS = 10  # of computing
PATIENCE = 18  # seconds by the clock
MEBIBYTES = 960  # beyond what this process has
NICENESS = 15  # whoever answers people on this machine goes before foreign files
CHUNK = 1 << 16
LONGEST = 400  # characters of a reason
ABORTED = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)
KINDS = {kind.code: kind for kind in (DataError, ConfigError, OutOfMemoryError)}

Tell = Callable[[str], None]  # which file is looked at from now on


def judged(check: Callable[[Tell], object], looks: int = 1) -> Any:  # noqa: ANN401 - what JSON can say
    """What a check finds, run in a fork; raises what it refused, or DataError naming the file at fault.

    It tells of about so many looks at files.
    """
    ours, its = os.pipe()
    child = os.fork()
    if not child:
        _judge(check, its)
    os.close(its)
    try:
        lines, late = _heard(ours, time.monotonic() + PATIENCE, looks)
    finally:
        os.close(ours)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it has said all, or is too late
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return _weigh(lines, -signal.SIGXCPU if late else status)


def _heard(pipe: int, deadline: float, looks: int) -> tuple[list[dict[str, Any]], bool]:
    """All that a fork says until it closes its side, and whether it was too late."""
    said = b""
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not ready.select(left):
                continue
            if not (part := os.read(pipe, CHUNK)):
                break
            said += part
            reach(said.count(b"\n") / looks)
    return [json.loads(line) for line in said.splitlines()], left <= 0


def _weigh(lines: list[dict[str, Any]], status: int) -> Any:  # noqa: ANN401
    """What the fork found; raises what it refused, or what it died of."""
    last = lines[-1] if lines else {}
    if "message" in last:
        raise KINDS.get(last["code"], DataError)(last["message"])
    if "found" in last:
        return last["found"]
    file = next((line["file"] for line in reversed(lines) if "file" in line), "The model's folder")
    raise DataError(f"{file} {_limit(last, status)}")


def _limit(last: dict[str, Any], status: int) -> str:
    if status in (-signal.SIGXCPU, -signal.SIGALRM):
        return f"did not finish within {SECONDS} s when it was read."
    if "memory" in last:
        return f"asked for more than {MEBIBYTES} MiB of memory when it was read."
    if status in ABORTED:
        return (
            f"ended the program that read it: it asks for more than {MEBIBYTES} MiB of memory, or "
            "is nested too deeply."
        )
    return f"ended the program that read it (status {status})."


def _judge(check: Callable[[Tell], object], pipe: int) -> NoReturn:
    """What the fork does: the check, a word on how it went, and its end."""
    file = ""

    def say(**what: Any) -> None:  # noqa: ANN401 - JSON
        said = json.dumps(what, default=str).encode() + b"\n"
        while said:
            said = said[os.write(pipe, said) :]

    def tell(name: str) -> None:
        nonlocal file
        file = name
        say(file=name)

    try:
        _confine()
        say(found=check(tell))
    except MemoryError:
        say(memory=True)
    except AlignmentError as error:
        say(code=error.code, message=str(error))
    except BaseException as error:  # a panic of Rust is no Exception
        reason = printable(str(error).partition("\n")[0])[:LONGEST]
        say(
            code=DataError.code,
            message=_("{file} cannot be read: {name}: {reason}").format(
                file=file, name=type(error).__name__, reason=reason
            ),
        )
    finally:
        os._exit(0)


def _confine() -> None:
    """Set the limits of a fork, and keep what libraries say in it to itself."""
    faulthandler.disable()  # it would show our stack to whoever started us
    gc.disable()  # a million small lists would be looked through again and again
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nowhere, handle)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE + 1)  # if nobody is left to do it
    os.nice(NICENESS)
    with suppress(ValueError, OSError):  # not every system has them
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        most = _held() + (MEBIBYTES << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _held() -> int:
    """Bytes of private memory that this process may write, as RLIMIT_DATA counts them; raises OSError."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE")
