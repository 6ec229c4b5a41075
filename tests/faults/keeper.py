"""`python -m tests.faults.chaos --part keeper`: `manage.py stack` is left alone with what befalls it.

Nothing is started in its stead. VAR lies on a small disk that is filled once; each program is killed
once, a broker is replaced by another. After each fault the dashboard answers, every acknowledged
label is stored, and a run that was at work goes on by itself. At the end Ctrl-C leaves nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections

from tests import disks
from tests.factories import a_project, a_run, a_user, again, some_tasks
from tests.faults.ledger import Ledger, broken
from tests.faults.people import Person
from tests.stack import ROOT, TIMES
from tests.stand_in import SLOW
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.jobs.models import Job, State
from webapp.jobs.services import start_job
from webapp.labeling.models import Label
from webapp.machine import uploads
from webapp.operations import stack
from webapp.projects.models import Project
from webapp.projects.sessions import SessionStore

SIZE = "size=96m"
TASKS = 6000
FULL_FOR = 20.0  # seconds that the disk stays full
ANSWERS_IN = 10.0  # seconds after a fault until the dashboard answers
GOES_ON_IN = 60.0
MARK = "ATTUNE_KEPT_BY"  # in the environment of all that the stack starts


class Machine:
    """A running `manage.py stack`, its people's admin, and the processes that are its."""

    def __init__(self, port: int, brokers: Path) -> None:
        self.port = port
        self.mark = uuid4().hex
        self.brokers = brokers  # a folder on PATH that says which broker is found
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the dashboard answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it once, and wait until it says where it is."""
        times = {f"ATTUNE_RUN_{name}": value for name, value in TIMES.items()}
        environment = os.environ | times | {MARK: self.mark}
        environment |= {
            "PATH": f"{self.brokers}:{os.environ['PATH']}",
            "ATTUNE_THREADS": "1",
            "ATTUNE_DISK_RESERVE_GIB": "0",
            "ATTUNE_JOB_LEASE": "10",
            "DJANGO_SETTINGS_MODULE": "tests.chaos_settings",
        }
        command = [sys.executable, "manage.py", "stack", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment)
        if not until(lambda: stack.web_answers(self.url), 60):
            raise RuntimeError("The stack did not start.")

    def guard(self, name: str) -> psutil.Process:
        """The guard of a program that runs."""
        return self.program(name).parent()

    def program(self, name: str) -> psutil.Process:
        """A program itself, as soon as it runs."""
        found: list[psutil.Process] = []
        until(lambda: found.extend(self._programs(name)) or found, GOES_ON_IN)
        return found[0]

    def _programs(self, name: str) -> Iterator[psutil.Process]:
        log = f"{settings.VAR}/logs/{name}.log"
        for guard in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):  # it has just ended
                if log in guard.cmdline():
                    yield from guard.children()[:1]

    def left(self) -> list[str]:
        """What still runs of all that the stack ever started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(" ".join(process.cmdline()[:6]))
            except psutil.Error:
                continue
        return found


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for something that may not come; whether it came."""
    end = time.monotonic() + seconds
    while not (came := bool(condition())) and time.monotonic() < end:
        threading.Event().wait(0.1)
    return came


def program(name: str) -> Callable[[Machine], None]:
    """A fault: SIGKILL for a program."""
    return lambda machine: machine.program(name).kill()


def guard(name: str) -> Callable[[Machine], None]:
    """A fault: SIGKILL for the guard of a program instead of the program."""
    return lambda machine: machine.guard(name).kill()


def another_broker(machine: Machine) -> None:
    """From now on PATH finds the machine's own broker, and the one that runs dies."""
    point_at(machine.brokers, shutil.which("redis-server") or stack.bundled_broker())
    machine.program("broker").kill()


def full_disk(_: Machine) -> None:
    """No room in VAR for a while; then there is again."""
    disks.fill(Path(settings.VAR))
    try:
        threading.Event().wait(FULL_FOR)
    finally:
        disks.empty(Path(settings.VAR))


def full_disk_and_killed(machine: Machine) -> None:
    """No room, and every program is killed while there is none."""
    disks.fill(Path(settings.VAR))
    try:
        for name in ("worker-short", "worker", "tend", "web", "broker"):
            machine.program(name).kill()
        threading.Event().wait(FULL_FOR)
    finally:
        disks.empty(Path(settings.VAR))


FAULTS: dict[str, Callable[[Machine], None]] = {
    "kill broker": program("broker"),
    "another broker": another_broker,
    "kill worker": program("worker"),
    "kill a worker's guard": guard("worker"),
    "kill the web's guard": guard("web"),
    "kill worker-short": program("worker-short"),
    "kill tend": program("tend"),
    "kill web": program("web"),
    "full disk": full_disk,
    "full disk, all killed": full_disk_and_killed,
}


def point_at(folder: Path, server: str) -> None:
    """Let PATH find this broker first."""
    aside = folder / "aside"
    aside.symlink_to(server)
    aside.replace(folder / "valkey-server")


@contextmanager
def small_var() -> Iterator[Path]:
    """VAR on a small disk, with what is in it already."""
    var = Path(settings.VAR)
    connections.close_all()
    with tempfile.TemporaryDirectory(prefix="attune-brokers-") as brokers:
        shutil.copytree(var, Path(brokers) / "kept")
        with disks.mounted(var, SIZE):
            shutil.copytree(Path(brokers) / "kept", var, dirs_exist_ok=True)
            yield Path(brokers)
            connections.close_all()


def admins_session(project: Project) -> str:
    """A session of an admin, to look at the dashboard with."""
    user: User = a_user(project, Role.ADMIN)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session.session_key


def dashboard(machine: Machine, session: str, project: Project) -> bool:
    """Whether a page of the dashboard comes."""
    try:
        page = httpx.get(
            f"{machine.url}/p/{project.pk}/runs/",
            cookies={settings.SESSION_COOKIE_NAME: session},
            timeout=5,
            trust_env=False,
        )
    except httpx.TransportError:
        return False
    return page.status_code == 200 and "Programs" in page.text


def a_job(machine: Machine, project: Project) -> Job:
    """A job that its worker, frozen meanwhile, has not begun."""
    worker = machine.program("worker-short")
    frozen = [worker, *worker.children()]
    for process in frozen:
        process.suspend()
    name = uploads.keep_file(SimpleUploadedFile("rows.jsonl", b'"Why?"\n"How?"'))
    payload = {"upload": name, "name": "rows.jsonl", "format": "guess"}
    job = start_job(project, kind="preview", payload=payload, key=name)
    for process in frozen:
        process.resume()
    return job


def suffer(machine: Machine, project: Project, session: str, name: str) -> dict[str, object]:
    """One fault while a run is at work and a job waits; how long everything took to go on."""
    run = a_run(project, seed=SLOW, priority=1)
    until(lambda: again(run).step >= 2, GOES_ON_IN)
    job = a_job(machine, project)
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        fault = beside.submit(FAULTS[name], machine)
        threading.Event().wait(1)  # the fault is there
        answered = first_answer(machine, session, project)
        fault.result()
    over = time.monotonic()
    goes_on = until(lambda: again(run).state == "succeeded", GOES_ON_IN)
    ran = time.monotonic() - over
    done = until(lambda: again(job).state == State.DONE, GOES_ON_IN)
    connection.close()
    return {
        "dashboard_s": round(answered + 1, 1),
        "run_goes_on_s": round(ran, 1) if goes_on else None,
        "job_done": done,
        "fault_s": round(over - begun, 1),
        "stack_runs": machine.process.poll() is None,
    }


def first_answer(machine: Machine, session: str, project: Project) -> float:
    """Seconds until the dashboard answers."""
    begun = time.monotonic()
    until(lambda: dashboard(machine, session, project), 3 * ANSWERS_IN)
    return time.monotonic() - begun


def failed(figures: dict[str, object]) -> bool:
    """Whether a fault left something undone."""
    late = figures["dashboard_s"] > ANSWERS_IN or figures["run_goes_on_s"] is None
    return late or not figures["job_done"] or figures["labels_lost"] > 0


def lost(ledger: Ledger) -> int:
    """Labels that were acknowledged and are not stored."""
    acknowledged = set(ledger.rows["stored"])
    stored = {str(key) for key in Label.objects.values_list("client_id", flat=True)}
    return len(acknowledged - stored)


def part(options: object) -> dict[str, object]:
    """The whole part: load, all faults one after another, Ctrl-C, the count."""
    settings.DISK_RESERVE_GIB = 0.0
    project = a_project()
    some_tasks(project, TASKS, need=2)
    session = admins_session(project)
    with small_var() as brokers, tempfile.NamedTemporaryFile(prefix="attune-ledger-") as kept:
        point_at(brokers, stack.bundled_broker())
        machine = Machine(stack.free_port(), brokers)
        ledger = Ledger(Path(kept.name))
        try:
            machine.start()
            figures = disturbed(machine, project, session, ledger, options.annotators)
        finally:
            left = ended(machine)
        return figures | {"left": left} | told(figures, ledger, left)


def disturbed(
    machine: Machine, project: Project, session: str, ledger: Ledger, people: int
) -> dict[str, object]:
    """All faults while people label; it ends with the first one that the stack does not outlive."""
    over = threading.Event()
    figures: dict[str, object] = {}
    with ThreadPoolExecutor(people) as pool:
        persons = [Person(machine.url, project, ledger, seed) for seed in range(people)]
        work = [pool.submit(person.work, over) for person in persons]
        try:
            for name in FAULTS:
                print(name, flush=True)
                figures[name] = suffer(machine, project, session, name)
                figures[name]["labels_lost"] = lost(ledger)
                print(figures[name], flush=True)
                if not figures[name]["stack_runs"]:
                    break
        finally:
            over.set()
    for future in work:
        future.result()
    return {"faults": figures}


def ended(machine: Machine) -> list[str]:
    """End the stack by Ctrl-C; what is left of it."""
    if machine.process.poll() is None:
        machine.process.send_signal(signal.SIGINT)
    machine.process.wait(60)
    until(lambda: not machine.left(), 10)
    return machine.left()


def told(figures: dict[str, object], ledger: Ledger, left: list[str]) -> dict[str, object]:
    """The count of what was promised and of what was kept."""
    faults = figures["faults"]
    counts = broken(ledger)
    counts.pop("runs_stuck")  # the stack is over: what it had begun waits for the next
    return {
        "labels_acknowledged": len(ledger.rows["stored"]),
        "labels": Label.objects.count(),
        **ledger.counts,
        "broken": counts
        | {
            "faults_not_outlived": len(FAULTS)
            - sum(not failed(fault) for fault in faults.values()),
            "programs_left": len(left),
        },
    }
