"""`python -m tests.prove.hostile`: folders made to hurt whoever reads them end with a sentence.

Each attack of `attacks.py` is brought in as an import and named on the command line of a kind of run,
while a real web program answers. Each ends within 30 s and 2 GB, either with a sentence or, where
nothing was wrong in the end, well; never with a traceback, never as a bug. The web's 95th percentile
meanwhile is at most twice what it was. Each command is a fork of a process that has loaded the libraries,
unless `--fresh` asks for a new interpreter. The last line is one JSON object; the exit status says whether
all held.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alignment.__main__ import program as command_line
from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.seam import memory_use
from alignment.seam.events import Failed, parse_event
from alignment.trainer import runner
from tests import ground
from tests.prove.attacks import ATTACKS, make

SECONDS, BYTES = 30.0, 2_000_000_000
LOOK = 0.02  # seconds between two looks at a command
TIMES_SLOWER = 2.0
QUIET = 15.0  # seconds of a web alone
REFUSED = 3
FEWEST = 150  # attacks that must be refused
PROMPTS = [{"prompt": [{"role": "user", "content": f"Say {word}."}]} for word in "abcdefghijkl"]
PAIRS = [{**row, "chosen": "Yes.", "rejected": "No."} for row in PROMPTS]
WRITTEN = [{**row, "completion": "Yes, sun."} for row in PROMPTS]
COMMANDS = {
    "generate": ["--policy", "MODEL", "--prompts", "prompts", "--max-new-tokens", "4"],
    "sft": ["--policy", "MODEL", "--demonstrations", "written", "--epochs", "1"],
    "prefer": ["--policy", "MODEL", "--pairs", "pairs", "--epochs", "1"],
    "reward": ["--backbone", "MODEL", "--pairs", "pairs", "--epochs", "1"],
    "align": ["--policy", "MODEL", "--prompts", "prompts", "--reward-weight", "0", "--must-contain", "a",
              "--steps", "1", "--max-new-tokens", "4"],
    "evaluate": ["--policy", "MODEL", "--reference", "GOOD", "--prompts", "prompts", "--max-new-tokens", "4",
                 "--judged-by", "none"],
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How one command ended: exit status, seconds, most bytes, and what it said last."""

    attack: str
    command: str
    status: int
    seconds: float
    bytes: int
    said: str
    traceback: bool

    @property
    def fault(self) -> str:
        """What did not hold; empty where all did."""
        if self.seconds > SECONDS or self.bytes > BYTES:
            return f"{self.seconds:.0f} s, {self.bytes / 1e9:.1f} GB"
        if self.traceback or self.status not in (0, REFUSED):
            return f"status {self.status}{', a traceback' if self.traceback else ''}"
        return "" if self.status == 0 or self.said else "no sentence"


class Web:
    """Pages of a web program, asked for again and again, each with the seconds it took."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url, self.headers = url, {"Cookie": cookie}
        self.times: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Web":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.1):
            before = time.monotonic()
            request = urllib.request.Request(self.url, headers=self.headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
            self.times.append(time.monotonic() - before)


def p95(times: Sequence[float]) -> float:
    """The 95th percentile in milliseconds."""
    return round(1000 * statistics.quantiles(times, n=20)[-1], 1)


def run_apart(arguments: list[str], log: Path, *, fresh: bool) -> tuple[int, float, int]:
    """Run a command line in a process of its own; its status, seconds, and most bytes at once."""
    before = time.monotonic()
    watch = None
    process = subprocess.Popen if fresh else None
    if process is not None:
        with log.open("wb") as said:
            program = process(
                [sys.executable, "-m", "alignment", *arguments], stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        pid = program.pid
    else:
        pid = _forked(arguments, log)
    watch = memory_use.Watch(pid)
    while (found := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        watch.look()
        if time.monotonic() - before > 2 * SECONDS:
            os.killpg(pid, 9)
        time.sleep(LOOK)
    status = os.waitstatus_to_exitcode(found[1])
    return status, time.monotonic() - before, watch.most


def _started(arguments: list[str], log: Path) -> int:
    command = [sys.executable, "-m", "alignment", *arguments]
    with log.open("wb") as said:
        return subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True).pid


def _forked(arguments: list[str], log: Path) -> int:
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        with log.open("wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        sys.stdout, sys.stderr = (os.fdopen(handle, "w") for handle in (1, 2))
        status = command_line(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def imported(folder: Path, room: Path) -> list[str]:
    """The command line of an import of this folder."""
    run = room / "import"
    run.mkdir()
    inputs = {"source": str(folder), "root": str(folder.parent)}
    config = {"source": "folder", "name": folder.name}
    spec = RunSpec(kind="import", run=1, epoch=1, config=config, inputs=inputs)
    (run / "config.json").write_text(spec.model_dump_json())
    return ["run", str(run)]


def named(kind: str, folder: Path, good: Path, room: Path) -> list[str]:
    """The command line of a kind of run that is given this folder."""
    files = {name: str(good.parent / f"{name}.jsonl") for name in ("prompts", "pairs", "written")}
    meant = {"MODEL": str(folder), "GOOD": str(good)} | files
    return [
        kind,
        *(meant.get(word, word) for word in COMMANDS[kind]),
        "--output",
        str(room / "out"),
    ]


def ended(attack: str, arguments: list[str], room: Path, *, fresh: bool) -> Ended:
    """Run a command and read how it ended."""
    log = room / f"{arguments[0]}.log"
    status, seconds, most = run_apart(arguments, log, fresh=fresh)
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.split(":")[0] in ("data", "config", "oom")]
    bug = any(isinstance(event, Failed) and event.code == "bug" for event in events(room))
    torn = "Traceback (most recent call last)" in text or bug
    kind = "import" if arguments[0] == "run" else arguments[0]
    return Ended(attack, kind, status, seconds, most, lines[-1] if lines else "", torn)


def events(room: Path) -> Iterator[object]:
    """What the runs below a folder reported."""
    for path in room.glob("*/events.jsonl"):
        yield from (parse_event(line) for line in path.read_bytes().splitlines())


def attacked(names: Sequence[str], root: Path, *, fresh: bool) -> Iterator[Ended]:
    """Each attack by an import and by one of the other kinds in turn."""
    good = make(root / "good")
    for name, rows in (("prompts", PROMPTS), ("pairs", PAIRS), ("written", WRITTEN)):
        (root / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    kinds = list(COMMANDS)
    for number, name in enumerate(names):
        room = root / "room"
        folder = shutil.copytree(good, room / "in" / "model")
        ATTACKS[name](folder)
        yield ended(name, imported(folder, room), room, fresh=fresh)
        kind = kinds[number % len(kinds)]
        yield ended(name, named(kind, folder, good, room), room, fresh=fresh)
        shutil.rmtree(room)


def judged_all(names: Sequence[str], *, fresh: bool) -> list[Ended]:
    """All that came of the attacks, told as they come."""
    found = []
    with tempfile.TemporaryDirectory(prefix="hostile-") as root:
        for one in attacked(names, Path(root), fresh=fresh):
            mark = one.fault or ("taken" if one.status == 0 else "refused")
            print(f"{one.seconds:5.1f} s {one.bytes / 1e9:4.1f} GB {one.attack} {one.command}: {mark}. "
                  f"{one.said[:160]}", flush=True)  # fmt: skip
            found.append(one)
    return found


def beside_a_web(names: Sequence[str], *, fresh: bool) -> tuple[list[Ended], dict[str, float]]:
    """The attacks while a web program answers; and its percentiles alone and meanwhile."""
    from django.conf import settings  # noqa: PLC0415 - Django is set up by now
    from django.test import Client  # noqa: PLC0415

    from tests.factories import a_project, a_user  # noqa: PLC0415
    from tests.stack import Stack  # noqa: PLC0415

    client = Client()
    client.force_login(a_user(project := a_project()))
    name = settings.SESSION_COOKIE_NAME
    cookie = f"{name}={client.cookies[name].value}"
    with Stack(Path(os.environ["ATTUNE_VAR"]), Path(tempfile.mkdtemp()) / "s") as stack:
        stack.web()
        with Web(f"{stack.url}/p/{project.pk}/", cookie) as alone:
            time.sleep(QUIET)
        with Web(f"{stack.url}/p/{project.pk}/", cookie) as beside:
            found = judged_all(names, fresh=fresh)
    figures = {"web_p95_alone_ms": p95(alone.times), "web_p95_beside_ms": p95(beside.times)}
    return found, figures | {"pages": len(beside.times)}


def main() -> int:
    """Attack, print the figures; 0 when all held."""
    parser = argparse.ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="a new interpreter for each command")
    parser.add_argument("--only", default="", help="attacks whose name has this in it")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th attack")
    options = parser.parse_args()
    names = [name for name in ATTACKS if options.only in name][:: options.every]
    ground.stand()
    for kind in KINDS:
        runner(kind)
    found, figures = beside_a_web(names, fresh=options.fresh)
    failures = [one for one in found if one.fault]
    refused = {name for name in names if all(
        one.status == REFUSED and not one.fault for one in found if one.attack == name)}  # fmt: skip
    slower = figures["web_p95_beside_ms"] / figures["web_p95_alone_ms"]
    figures |= {
        "folders": len(names),
        "refused": len(refused),
        "failures": len(failures),
        "seconds": round(max(one.seconds for one in found), 1),
        "gigabytes": round(max(one.bytes for one in found) / 1e9, 2),
        "web_times_slower": round(slower, 2),
    }
    for one in failures:
        print(json.dumps(asdict(one) | {"fault": one.fault}))
    print(json.dumps(figures))
    enough = len(refused) >= FEWEST or len(names) < len(ATTACKS)
    return 0 if enough and not failures and slower <= TIMES_SLOWER else 1


if __name__ == "__main__":
    sys.exit(main())
