"""`python -m tests.faults.chaos`: people label and runs are queued while programs die around them.

A ledger on our side holds all that was acknowledged; after a quiet period it is compared with the
database, in both directions. `--without NAME` takes a protection away, and must end in a failure.
The last line is one JSON object of figures with the seed; the exit status says whether all held.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.conf import settings
from django.db import connection

from tests import ground
from tests.factories import a_project, a_run, a_user, again, some_tasks
from tests.faults import keeper
from tests.faults.ledger import Ledger, broken
from tests.faults.people import Person
from tests.stack import Stack
from tests.stand_in import DIE_LATER, FAIL, FINISH, SLOW, WAIT
from tests.unprotected import ENVIRONMENT, PROTECTIONS
from webapp.labeling.models import Label
from webapp.projects.models import Project
from webapp.runs.models import FINAL, Run
from webapp.runs.services import cancel_run
from webapp.runs.tasks import send_ring

LABELS_PER_SECOND = 30  # tasks enough for the fastest machine we know
RUN_EVERY = 3.0  # seconds
QUIET = 120.0  # seconds until what is not over is called stuck
KINDS = (FINISH, SLOW, SLOW, SLOW, DIE_LATER, FAIL)


def queue_runs(project: Project, ledger: Ledger, over: threading.Event, seed: int) -> None:
    """A run every few seconds; one that was committed is promised to end."""
    chance = random.Random(seed)
    while not over.wait(RUN_EVERY):
        ledger.add("run", a_run(project, seed=chance.choice(KINDS)).pk)
    connection.close()


def kill(stack: Stack, name: str, number: int) -> None:
    """End a program's group, and start it again as an init would."""
    stack.kill(name, number)
    start(stack, name)


def start(stack: Stack, name: str) -> None:
    """Start a program by its name."""
    if name in ("left", "right"):
        stack.worker(name)
    else:  # the broker with an empty memory: worse than any real restart
        getattr(stack, name)()


def kill_trainer(stack: Stack) -> None:
    """SIGKILL the trainers at work, and not their guards."""
    command = f"^[^ ]+ -I [^ ]+stand_in.py {stack.var}/"
    found = subprocess.run(["pgrep", "-f", command], capture_output=True)
    for pid in found.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def freeze(stack: Stack) -> None:
    """A worker falls asleep over a run, as on a closed laptop, and wakes when another has it."""
    run = a_run(Project.objects.get(), seed=WAIT, priority=1)
    if until(lambda: again(run).step >= 2):
        pid = again(run).worker.pid
        name = next(name for name, program in stack.running.items() if program.pid == pid)
        stack.freeze(name)
        until(lambda: again(run).epoch == 2 and again(run).step >= 2)
        stack.thaw(name)
        until(
            lambda: f"run {run.pk}: epoch 1" in (stack.var / f"{name}.log").read_text(), seconds=3
        )
    cancel_run(run, by=a_user())


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait for something that other faults may prevent; whether it came."""
    end = time.monotonic() + seconds
    while not (came := condition()) and time.monotonic() < end:
        threading.Event().wait(0.1)
    return came


def double_ring(_: Stack) -> None:
    """The bell rings ten times for nothing."""
    for _ in range(10):
        send_ring(settings.RUN_QUEUE)


FAULTS: dict[str, Callable[[Stack], None]] = {
    "kill web": lambda stack: kill(stack, "web", signal.SIGKILL),
    "kill left": lambda stack: kill(stack, "left", signal.SIGKILL),
    "kill right": lambda stack: kill(stack, "right", signal.SIGKILL),
    "kill broker": lambda stack: kill(stack, "broker", signal.SIGKILL),
    "kill tend": lambda stack: kill(stack, "tend", signal.SIGKILL),
    "kill trainer": kill_trainer,
    "end web": lambda stack: kill(stack, "web", signal.SIGTERM),
    "end left": lambda stack: kill(stack, "left", signal.SIGTERM),
    "freeze a worker": freeze,
    "ring": double_ring,
}


def disturb(stack: Stack, chance: random.Random, seconds: float, every: float) -> dict[str, int]:
    """One fault after another, each kind once before any comes twice; how often each came."""
    end, happened, waiting = time.monotonic() + seconds, {}, []
    while time.monotonic() + every < end:
        threading.Event().wait(every)
        if not waiting:
            waiting = chance.sample(list(FAULTS), len(FAULTS))
        fault = waiting.pop()
        print(fault, flush=True)
        FAULTS[fault](stack)
        happened[fault] = happened.get(fault, 0) + 1
    return happened


def settle(stack: Stack) -> float:
    """Quiet: wait until every run is over; seconds it took."""
    started = time.monotonic()
    until(lambda: not Run.objects.exclude(state__in=FINAL).exists(), QUIET)
    return round(time.monotonic() - started, 1)


def storm(options: object) -> dict[str, object]:
    """Load and faults together, then quiet, then the count."""
    seconds, chance = options.minutes * 60, random.Random(options.seed)
    project = a_project()
    some_tasks(project, int(seconds * LABELS_PER_SECOND), need=2)
    ledger = Ledger(Path(settings.VAR) / "ledger.jsonl")
    with Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack:
        stack.settings = "tests.chaos_settings"
        stack.broker().web().worker("left").worker("right").tend()
        people = [Person(stack.url, project, ledger, seed) for seed in range(options.annotators)]
        over = threading.Event()
        with ThreadPoolExecutor(options.annotators + 1) as pool:
            work = [pool.submit(person.work, over) for person in people]
            work.append(pool.submit(queue_runs, project, ledger, over, options.seed))
            try:
                faults = disturb(stack, chance, seconds, options.every)
            finally:
                over.set()
        for future in work:
            future.result()
        quiet = settle(stack)
    return {
        "faults": faults,
        "labels_acknowledged": len(ledger.rows["stored"]),
        "labels": Label.objects.count(),
        "runs": len(ledger.rows["run"]),
        "epochs": sum(Run.objects.values_list("epoch", flat=True)),
        "quiet_s": quiet,
        **ledger.counts,
        "broken": broken(ledger),
    }


def main() -> int:
    """Parse, disturb, print the figures; 0 when every promise was kept."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument(
        "--part",
        choices=("storm", "keeper"),
        default="storm",
        help="storm: the harness starts again what it kills; keeper: `manage.py stack` does",
    )
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--annotators", type=int, default=6)
    parser.add_argument("--every", type=float, default=5, help="seconds between faults")
    parser.add_argument("--without", choices=sorted(PROTECTIONS), help="protection to take away")
    options = parser.parse_args()
    if options.without:
        os.environ[ENVIRONMENT] = options.without
    figures = storm(options) if options.part == "storm" else keeper.part(options)
    print(json.dumps(vars(options) | figures))
    return 1 if any(figures["broken"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
