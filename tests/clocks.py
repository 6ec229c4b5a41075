"""Programs whose clock is wrong: libfaketime is loaded before them (Debian's package faketime)."""

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SLEEP = Path(__file__).parent / "wrong_clock"
LIBRARIES = ("libfaketimeMT.so.1", "libfaketime.so.1")


def library() -> str:
    """Where libfaketime is; empty where it is not installed."""
    folders = [Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu"), Path("/usr/local/lib")]
    found = [folder / "faketime" / name for folder in folders for name in LIBRARIES]
    return next((str(path) for path in found if path.exists()), "")


def ahead(seconds: float) -> dict[str, str]:
    """The environment of a program whose clock is so far ahead, or behind; it waits as long as any other."""
    if not seconds:
        return {}
    fake = {"FAKETIME": f"{seconds:+.0f}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return fake | {"LD_PRELOAD": library(), "PYTHONPATH": str(SLEEP)}


@contextmanager
def wrong(seconds: float) -> Iterator[None]:
    """What is started meanwhile has a wrong clock."""
    fake = ahead(seconds)
    os.environ.update(fake)
    try:
        yield
    finally:
        for name in fake:
            del os.environ[name]


class Clocks(NamedTuple):
    """Seconds that the clocks of two sides are ahead."""

    servers: float
    programs: float


def apart(seconds: float) -> Clocks:
    """Servers so far ahead of the programs. Where they are behind, the programs are ahead of them instead.

    libfaketime tells the true time inside of a wait that a signal interrupts, and PostgreSQL asks there which of
    its timeouts are over: with its clock set back, all of them would be.
    """
    return Clocks(max(seconds, 0.0), max(-seconds, 0.0))


def option() -> ArgumentParser:
    """The option, to be a parent of a program's own."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument(
        "--clock",
        type=float,
        default=0.0,
        help="seconds that database and broker are ahead of the programs",
    )
    return parser
