"""`python -m tests.faults.outages`: ten people and a browser label while database and broker are away.

Each fault of FAULTS once, then `clocks`: programs, database and broker whose clocks are wrong. Whatever was
acknowledged is stored; whatever is answered meanwhile is a page, a conflict or 503 in words; ten seconds
after the fault the label page has sent everything. The last line is one JSON object of figures.
"""

import json
import os
import sqlite3
import sys
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from django.conf import settings
from django.db import DatabaseError, connection
from playwright.sync_api import Page, sync_playwright

from tests import clocks, ground, postgres
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.factories import a_project, a_run, a_user, again, some_tasks
from tests.faults.keeper import admins_session, lost
from tests.faults.ledger import Ledger, broken
from tests.faults.people import Person
from tests.stack import Stack
from tests.stand_in import SLOW
from webapp.accounts.roles import Role
from webapp.celery import app
from webapp.labeling.models import Assignment, Label
from webapp.machine.patience import ANSWER_WAIT
from webapp.operations.stack import bundled_broker
from webapp.projects.models import Project
from webapp.runs.models import FINAL

PEOPLE = 10
TASKS = 3000
AWAY_FOR = 12.0  # seconds
FROZEN, FROZEN_FOR = "frozen", 24.0
SENT_IN = 10.0  # seconds after a fault
GOES_ON_IN = 30.0
SLOWEST_LOOK = (
    6.0  # seconds that a page may take, with all threads of the web waiting a moment first
)
PASSWORD = "glad-tidings-9"
PROGRAMS = ("broker", "worker", "worker-short", "tend", "web")


def restart(how: str) -> None:
    """PostgreSQL is stopped in some way and comes back after a while."""
    server = ground.server()
    if how == "kill":
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        first = psutil.Process(pid)
        for process in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs([first], timeout=10)
    else:
        postgres.program(server.data, "pg_ctl", "-w", "-m", how, "stop")
    wait(AWAY_FOR)
    postgres.start(server.data, server.options)


@contextmanager
def other() -> Iterator[psycopg.Connection]:
    """A connection of another program."""
    with closing(psycopg.connect(ground.server().url, autocommit=True)) as found:
        yield found


def end_connections() -> None:
    """All connections are ended, again and again."""
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
    end = time.monotonic() + AWAY_FOR
    while time.monotonic() < end:
        with other() as server:
            server.execute(f"{ends} AND backend_type = 'client backend'")
        wait(1.5)


def use_up() -> None:
    """Another program takes every connection that there is, and those of ours that end."""
    taken, end = [], time.monotonic() + AWAY_FOR
    with other() as server:  # of the superuser, who has some to spare
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    while time.monotonic() < end:
        try:
            taken.append(psycopg.connect(ground.server().url, autocommit=True))
        except psycopg.OperationalError:
            wait(0.1)
    for each in taken:
        each.close()


def lock_labels() -> None:
    """Another program keeps the table of labels to itself."""
    with other() as server:
        server.execute("BEGIN; LOCK TABLE labeling_label IN EXCLUSIVE MODE")
        wait(AWAY_FOR)
        server.execute("ROLLBACK")


def hold(seconds: float) -> None:
    """Another program holds SQLite's write lock."""
    place = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(place, isolation_level=None, timeout=30)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        wait(seconds)
        writer.execute("ROLLBACK")


def freeze_server() -> None:
    """PostgreSQL keeps its connections and says nothing."""
    with other() as server:  # which may have been started again
        (backend,) = server.execute("SELECT pg_backend_pid()").fetchone()
        first = psutil.Process(backend).parent()
    processes = [first, *first.children(recursive=True)]
    for process in processes:
        process.suspend()
    wait(FROZEN_FOR)
    for process in reversed(processes):
        with suppress(psutil.NoSuchProcess):
            process.resume()


def stop_broker(stack: Stack) -> None:
    """The broker takes connections and says nothing."""
    stack.freeze("broker")
    wait(AWAY_FOR)
    stack.thaw("broker")


def litter(_: Stack) -> None:
    """Somebody leaves what is no message in every queue."""
    with app.connection_for_write() as broker:
        for queue in (settings.RUN_QUEUE, settings.JOB_QUEUE):
            for text in (b"garbage", b"[]", b'{"properties": 1}', b"\xff"):
                broker.default_channel.client.lpush(queue, text)


def kill_everything(stack: Stack) -> None:
    """Power is lost but for the disk, and all is started again."""
    for name in list(stack.running):
        stack.kill(name)
    stack.only(*PROGRAMS)


def wait(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


OF_SQLITE: dict[str, Callable[[Stack], None]] = {
    "locked 15 s": lambda _: hold(15),
    "locked 30 s": lambda _: hold(30),
}
OF_POSTGRESQL: dict[str, Callable[[Stack], None]] = {
    "restarted": lambda _: restart("fast"),
    "killed": lambda _: restart("kill"),
    "connections ended": lambda _: end_connections(),
    "connections used up": lambda _: use_up(),
    "table locked": lambda _: lock_labels(),
    FROZEN: lambda _: freeze_server(),
}
OF_ALL: dict[str, Callable[[Stack], None]] = {
    "broker stopped": stop_broker,
    "no messages": litter,
    "all killed": kill_everything,
}


class Looker:
    """Somebody who only looks, again and again: what was answered, and after how long."""

    def __init__(self, url: str, project: Project) -> None:
        self.page = f"{url}/p/{project.pk}/runs/"
        self.session = admins_session(project)
        self.answers: Counter[str] = Counter()
        self.slowest = 0.0

    def look(self, over: threading.Event) -> None:
        """Until it is over."""
        while not over.wait(0.3):
            begun = time.monotonic()
            cookies = {settings.SESSION_COOKIE_NAME: self.session}
            try:
                answer = httpx.get(self.page, cookies=cookies, timeout=60, trust_env=False)
            except httpx.TransportError:
                self.answers["none"] += 1
                continue
            worded = answer.status_code == 200 or "database" in answer.text
            self.answers[f"{answer.status_code}{'' if worded else ' without words'}"] += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)


class Labeller:
    """A person at the label page in Chromium."""

    def __init__(self, page: Page, url: str, project: Project) -> None:
        self.page, self.user = (
            page,
            a_user(project, Role.ANNOTATOR, username="ana", password=PASSWORD),
        )
        self.given, self.errors = 0, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{url}/p/{project.pk}/label/")
        page.locator("[name=login]").fill("ana")
        page.locator("[name=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("#dock[data-ready]", timeout=60_000)

    def label(self, until: Callable[[], bool]) -> None:
        """Answer a pair every second."""
        while not until():
            if self.page.locator("article:not([hidden])").count():
                self.page.keyboard.press("2")
                self.given += 1
            self.page.wait_for_timeout(1000)

    def sent_in(self) -> float | None:
        """Seconds until the page has sent everything and has nothing to complain of; None: too long."""
        begun = time.monotonic()
        while time.monotonic() - begun < SENT_IN:
            shows = self.page.locator("#saved").inner_text()
            if shows == "saved ✓" and self.page.locator("#delivery").is_hidden():
                return round(time.monotonic() - begun, 1)
            self.page.wait_for_timeout(100)
        return None


def suffer(stack: Stack, labeller: Labeller, ledger: Ledger, fault: Callable[[Stack], None], looker: Looker) -> dict[str, Any]:  # fmt: skip
    """One fault while everybody works; what came of it."""
    run = a_run(Project.objects.get(), seed=SLOW, priority=1)
    labeller.label(lambda: again(run).step >= 2 or again(run).state in FINAL)
    before, over = Counter(ledger.counts), threading.Event()
    with ThreadPoolExecutor(2) as beside:
        looks: Future[None] = beside.submit(looker.look, over)
        happens: Future[None] = beside.submit(fault, stack)
        labeller.label(happens.done)
        over.set()
        looks.result()
        happens.result()
    ended, sent, acknowledged = time.monotonic(), labeller.sent_in(), len(ledger.rows["stored"])
    connection.close()
    figures: dict[str, Any] = {"page_sent_s": sent, "page_errors": labeller.errors[:3]}
    figures["people_go_on"] = until(
        lambda: len(ledger.rows["stored"]) > acknowledged + PEOPLE, SENT_IN
    )
    goes_on = until(lambda: again(run).state == "succeeded", GOES_ON_IN + 30)
    figures["run_done_s"] = round(time.monotonic() - ended, 1) if goes_on else None
    figures["answers"] = dict(looker.answers)
    figures["slowest_look_s"] = round(looker.slowest, 1)
    figures |= {"labels_lost": lost(ledger), "page_lost": labeller.given - mine(labeller)}
    return figures | {"people": dict(ledger.counts - before)}


def mine(labeller: Labeller) -> int:
    """How many answers of the page are stored."""
    return Label.objects.filter(annotator=labeller.user).count()


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for something that may not come, while the database may be away; whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except DatabaseError:
            connection.close()
        wait(0.1)
    return False


def failed(figures: dict[str, Any]) -> list[str]:
    """Which promises a fault broke."""
    wrong = set(figures["answers"]) - {"200", "503", "none"}
    return [
        name
        for name, holds in {
            "answers": not wrong and not figures["people"].get("server_errors"),
            "page": figures["page_sent_s"] is not None and not figures["page_errors"],
            "people": figures["people_go_on"],
            "run": figures["run_done_s"] is not None,
            "looks": figures["slowest_look_s"] < figures["slowest_allowed_s"],
            "labels": not figures["labels_lost"] and not figures["page_lost"],
        }.items()
        if not holds
    ]


def wrong_clocks(stack: Stack, clock: float) -> dict[str, Any]:
    """Programs whose clocks are wrong.

    SQLite's own clock is that of whoever asks, and so of one machine (docs/operations.md): only a worker that is ahead
    can be told there. The leases of one that is behind are over for all others.
    """
    project, found = Project.objects.get(), {}
    wrong = [("worker", 90.0)]
    if connection.vendor == "postgresql":
        seconds = {"worker": 90.0, "tend": 660.0, "web": 660.0}
        wrong = [(name, way * by) for name, by in seconds.items() for way in (1, -1)]
    usual = clocks.apart(clock).programs
    for program, by in wrong:
        stack.kill(program)
        stack.more = clocks.ahead(usual + by)
        getattr(stack, program)()
        stack.more = clocks.ahead(usual)
        run, begun = a_run(project, seed=SLOW, priority=1), time.monotonic()
        done = until(lambda run=run: again(run).state == "succeeded", 2 * GOES_ON_IN)
        name = f"{program} {by:+.0f} s"
        found[name] = round(time.monotonic() - begun, 1) if done else None
        print(name, found[name], flush=True)
        stack.kill(program)
        getattr(stack, program)()
    shown = databases_clock() - webs_clock(stack)
    assert abs(shown - clock) < 30, shown  # else nothing is proved
    return {"server_clock": round(shown), "run_done_s": found, "leases_lost": leases_lost()}


def databases_clock() -> float:
    """What time the database thinks it is."""
    if connection.vendor == "sqlite":
        return time.time()
    with other() as server:
        return float(server.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0])


def webs_clock(stack: Stack) -> float:
    """What time the web program thinks it is."""
    return parsedate_to_datetime(httpx.get(stack.url).headers["Date"]).timestamp()


def leases_lost() -> int:
    """Pairs that were taken from people who all the time were there."""
    return Assignment.objects.filter(state=Assignment.State.EXPIRED).count()


def storm(options: Any) -> dict[str, Any]:
    """Everybody at work, and one fault after another."""
    project, over = a_project(min_visible_ms=0), threading.Event()
    some_tasks(project, TASKS, need=2)
    ledger, faults = Ledger(Path(settings.VAR) / "ledger.jsonl"), chosen(options)
    found: dict[str, Any] = {}
    with (
        Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
        ThreadPoolExecutor(PEOPLE) as pool,
    ):
        stack.times, stack.settings = {}, "tests.stand_in_settings"  # a lease is as long as it is
        apart = clocks.apart(options.clock)
        with clocks.wrong(apart.servers):
            stack.broker(bundled_broker())  # libfaketime and Redis's own allocator do not agree
        stack.more = clocks.ahead(apart.programs)
        stack.only(*PROGRAMS)
        people = [Person(stack.url, project, ledger, seed) for seed in range(PEOPLE)]
        work = [pool.submit(person.work, over) for person in people]
        labeller = Labeller(browser.new_page(), stack.url, project)
        try:
            for name, fault in faults.items():
                print(name, flush=True)
                looker = Looker(stack.url, project)
                found[name] = suffer(stack, labeller, ledger, fault, looker)
                found[name]["slowest_allowed_s"] = SLOWEST_LOOK + (name == FROZEN) * ANSWER_WAIT
                print(found[name], flush=True)
            if options.clocks:
                found["clocks"] = wrong_clocks(stack, options.clock)
        finally:
            over.set()
        for future in work:
            future.result()
    connection.close()  # it may be one that a fault has ended
    figures = {"faults": found, "labels_acknowledged": len(ledger.rows["stored"])}
    return figures | told(found, ledger)


def chosen(options: Any) -> dict[str, Callable[[Stack], None]]:
    """The faults that are asked for, of those that this database knows."""
    own = OF_SQLITE if connection.vendor == "sqlite" else OF_POSTGRESQL
    known = own | OF_ALL
    return {name: known[name] for name in known if options.only is None or name in options.only}


def told(found: dict[str, Any], ledger: Ledger) -> dict[str, Any]:
    """What was promised and not kept."""
    counts = broken(ledger)
    counts.pop("runs_stuck")  # what was queued last waits for the next start
    counts.pop("labels_doubled")  # the browser keeps no ledger: `page_lost` counts for it
    wrong = found.pop("clocks", None)
    lists = {name: failed(figures) for name, figures in found.items()}
    counts |= {f"{name}: {', '.join(which)}": len(which) for name, which in lists.items() if which}
    if wrong:
        counts["runs_not_taken"] = sum(each is None for each in wrong["run_done_s"].values())
        counts["leases_lost"] = wrong["leases_lost"]
    return {"clocks": wrong, "broken": counts}


def main() -> int:
    """Parse, disturb, print the figures; 0 when every promise was kept."""
    parents = [ground.database_option(), clocks.option()]
    parser = ArgumentParser(parents=parents, description=__doc__)
    parser.add_argument("--only", nargs="*", help="these faults alone; none where it stands alone")
    parser.add_argument(
        "--clocks", action="store_true", help="also programs whose clocks are wrong"
    )
    options = parser.parse_args()
    if (options.clocks or options.clock) and not clocks.library():
        print("Not run: wrong clocks (libfaketime is not installed; Debian calls it faketime).")
        if options.clock or os.environ.get("REQUIRE") == "all":
            return int(os.environ.get("REQUIRE") == "all")
        options.clocks = False
    settings.DISK_RESERVE_GIB = 0.0
    os.environ["ATTUNE_DISK_RESERVE_GIB"] = "0"
    figures = storm(options)
    print(json.dumps(vars(options) | figures))
    return 1 if any(figures["broken"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
