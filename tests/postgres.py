"""A PostgreSQL server of our own: `python -m tests.postgres COMMAND …` runs the command on one.

The command finds it in DATABASE_URL; the server and all its data are gone when the command ends.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NOT_INSTALLED = "no server installed"
USER = "postgres"  # the server refuses to be run by root
# Nothing here outlives its server, nor is there so much of anything that tidying or compiling pays.
FAST = (
    "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c wal_level=minimal "
    "-c max_wal_senders=0 -c checkpoint_timeout=1h -c autovacuum=off -c jit=off"
)
OPTIONS = "-c listen_addresses=127.0.0.1 -c max_connections=200"


class Server(NamedTuple):
    """A running server."""

    url: str
    pid: int  # of its first process
    data: Path
    options: str


def binaries() -> Path | None:
    """The folder of the newest server's programs; None when no server is installed."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def server(options: str = FAST) -> Iterator[Server]:
    """A server with an empty database, on a free port of this machine."""
    data, port = Path(tempfile.mkdtemp(prefix="attune-postgres-")), free_port()
    if os.geteuid() == 0:
        shutil.chown(data, USER)
    try:
        program(data, "initdb", "-A", "trust", "-U", "attune", "--no-sync", "-E", "UTF8")
        command = f"-p {port} -k {data} {OPTIONS} {options}"
        pid = start(data, command)
        yield Server(f"postgres://attune:@127.0.0.1:{port}/postgres", pid, data, command)
    finally:
        if (data / "postmaster.pid").exists():
            program(data, "pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(data)


def start(data: Path, options: str) -> int:
    """Start a server on its data, for the first time or again; its first process."""
    program(data, "pg_ctl", "-w", "-l", f"{data}/log", "-o", options, "start")
    return int((data / "postmaster.pid").read_text().split()[0])


def program(data: Path, name: str, *arguments: str) -> None:
    """Run one of the server's programs on its data; what it prints is shown when it fails."""
    user = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    command = [str(binaries() / name), "-D", str(data), *arguments]
    # A server that stays keeps what it inherits open: a pipe would never end.
    with (data.parent / f"{data.name}.out").open("w+b") as said:
        done = subprocess.run(command, cwd="/", stdout=said, stderr=said, check=False, **user)
        Path(said.name).unlink()
        if done.returncode:
            said.seek(0)
            raise RuntimeError(f"{name} failed: {said.read().decode()}")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(command: list[str]) -> int:
    """The command's exit status; without a server 0, or 1 when REQUIRE=all."""
    if binaries() is None:
        print(f"PostgreSQL: not run ({NOT_INSTALLED})")
        return int(os.environ.get("REQUIRE") == "all")
    with server() as running:
        environment = os.environ | {"DATABASE_URL": running.url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
