"""A spare trainer: one that has loaded what runs need before anybody knows which run is to be its.

It is told its folder through a socket, with the files that a fresh trainer would have been started with.
"""

import os
import socket
import sys
from pathlib import Path

from alignment.seam.handing import HANDLE

LONGEST = 1 << 13  # bytes of a path
SAID = 1 << 16  # bytes of what loading may have printed
FILES = 2  # the log, and the pipe with the key for servers


def send_run(channel: socket.socket, folder: Path, log: int, key: int | None) -> None:
    """Tell a spare which run is its, as soon as it has loaded; raises OSError where it is gone."""
    files = [log] if key is None else [log, key]
    socket.send_fds(channel, [os.fsencode(folder)], files)


def take_run(handle: int) -> Path | None:
    """Wait for our run, and become its trainer, in its folder and with its log.

    None where none comes any more.
    """
    folder, files = _told(handle)
    if not files:
        return None
    log, *keys = files
    for key in keys:
        os.environ[HANDLE] = str(key)
    _write_to(log)
    os.chdir(folder)
    return Path(os.fsdecode(folder))


def _told(handle: int) -> tuple[bytes, list[int]]:
    """A folder and files; none where nobody is left to name them."""
    with socket.socket(fileno=handle) as channel:
        try:
            folder, files, *_ = socket.recv_fds(channel, LONGEST, FILES)
        except ConnectionError:
            return b"", []
    return folder, files


def _write_to(log: int) -> None:
    """Print into this file from now on; what loading has printed goes there too."""
    sys.stdout.flush()
    said = os.pread(sys.stdout.fileno(), SAID, 0)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)
    os.write(sys.stdout.fileno(), said)
