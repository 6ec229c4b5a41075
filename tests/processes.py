"""Tests in several processes at once: forks of the one that loaded and collected them all.

`pytest -p tests.processes --processes N`. Whoever is free takes the tests of the next file, so that what a file's tests share is
made once; of long proofs each is taken by itself, and tests of a browser and of programs of ours first and as if they were one
file's, for these take seconds to start. Reports go to the first process, which alone prints and counts.
"""

import os
import signal
import struct
import sys
import traceback
from contextlib import suppress
from itertools import chain, pairwise
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.reports import TestReport

NUMBER = struct.Struct("I")
STARTED = frozenset({"chromium", "loaded"})  # fixtures of a process that take seconds


class Worker(NamedTuple):
    """A fork, where it says what it does, and the tests it has taken and not begun."""

    pid: int
    said: Connection
    left: list


def pytest_addoption(parser):
    """One option: how many."""
    parser.addoption("--processes", type=int, default=1, help="how many processes run the tests")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """Run them in so many processes; with one, leave it to pytest."""
    count = session.config.option.processes
    if count < 2 or session.config.option.collectonly or session.testsfailed:
        return None
    files = shared_out(session.items)
    waiting, numbers = os.pipe()
    os.write(numbers, b"".join(map(NUMBER.pack, range(len(files)))))
    os.close(numbers)
    session.config._tmp_path_factory.getbasetemp()
    Run(session, files, waiting).finish(min(count, len(files)))
    return True


def shared_out(items):
    """The tests that one process takes at once, of all that there are."""
    groups = {STARTED: []}
    for item in items:
        groups.setdefault(together(item), []).append(item)
    return [tests for tests in groups.values() if tests]


def together(item):
    """What tests that one process takes at once have in common."""
    if item.get_closest_marker("prove"):
        return item.nodeid
    if STARTED & set(item.fixturenames) and not item.get_closest_marker("slow"):
        return STARTED
    return item.path


class Run:
    """The forks of one session and the files that wait: their numbers lie in a pipe, which is a queue for all."""

    def __init__(self, session, files, waiting):
        self.session, self.files, self.waiting = session, files, waiting
        self.workers = {}  # by where they say what they do
        self.begun = 0

    def finish(self, count):
        """Run all tests in so many processes, and hear of each until the last has ended."""
        try:
            for _ in range(count):
                self.begin([])
            while self.workers:
                for said in wait(list(self.workers)):
                    self.hear(said)
                    if self.session.shouldfail:
                        raise self.session.Failed(self.session.shouldfail)
        finally:
            for worker in self.workers.values():
                os.kill(worker.pid, signal.SIGKILL)

    def begin(self, first):
        """Fork a worker that runs these tests before it takes others."""
        ours, its = Pipe(duplex=False)
        sys.stdout.flush()
        if not (pid := os.fork()):
            ours.close()
            work(self, its, first)
        its.close()
        self.begun += 1
        self.workers[ours] = Worker(pid, ours, list(first))

    def hear(self, said):
        """Pass on what a worker has said; one that ended without its last test is replaced."""
        worker = self.workers[said]
        if (all_of_it := heard(said)) is None:
            del self.workers[said]
            status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
            if worker.left:
                self.replace(worker.left, status)
            return
        for kind, what in all_of_it:
            self.pass_on(worker, kind, what)

    def pass_on(self, worker, kind, what):
        """Count it, or tell it to whoever prints."""
        match kind:
            case "took":
                worker.left.extend(self.files[what])
            case "ended":
                worker.left.pop(0)
            case "reported":
                self.session.config.hook.pytest_runtest_logreport(report=what)
            case "warned":
                self.session.config.hook.pytest_warning_recorded.call_historic(kwargs=what)

    def replace(self, left, status):
        """Report the test that ended its process as failed, and go on with those after it."""
        lost, *others = left
        words = f"The process of this test ended (status {status})."
        report = TestReport(lost.nodeid, lost.location, {}, "failed", words, "call")
        self.session.config.hook.pytest_runtest_logreport(report=report)
        self.begin(others)


def heard(said):
    """The next things that a worker says; None once it has ended."""
    try:
        return said.recv()
    except EOFError:
        return None


class Reports:
    """What a worker sends home instead of printing it: a test's things at once, for each message wakes the first process."""

    def __init__(self, home):
        self.home = home
        self.known = False  # a new plugin is told of all warnings that there ever were
        self.unsent = []

    def note(self, kind, what):
        """Send it with the next."""
        self.unsent.append((kind, what))

    def send(self, kind, what):
        """Say it, and all that was noted."""
        self.home.send([*self.unsent, (kind, what)])
        self.unsent.clear()

    def pytest_runtest_logreport(self, report):
        """All that is printed or counted: not that a test was set up or torn down."""
        if report.when == "call" or not report.passed:
            self.note("reported", report)

    def pytest_warning_recorded(self, warning_message, when, nodeid, location):
        """A warning, as far as it can be sent."""
        if not self.known:
            return
        warning_message.source = None
        about = {"when": when, "nodeid": nodeid, "location": location}
        self.note("warned", {"warning_message": warning_message} | about)


def work(run, home, first):
    """Run tests in this fork until none waits, and end it."""
    status = 1
    try:
        reports = Reports(home)
        settle(run.session.config, f"gw{run.begun}", reports)
        tests = chain(first, taken(run, reports))
        for test, following in pairwise(chain(tests, [None])):
            run.session.config.hook.pytest_runtest_protocol(item=test, nextitem=following)
            reports.send("ended", None)
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def taken(run, reports):
    """The tests of file after file, each taken when the one before comes to its last test."""
    while number := os.read(run.waiting, NUMBER.size):
        (number,) = NUMBER.unpack(number)
        reports.send("took", number)
        yield from run.files[number]


def settle(config, name, reports):
    """Make this fork a process of tests by that name, as pytest-django knows them: with its own database and files."""
    config.workerinput = {"workerid": name}
    os.environ["PYTEST_XDIST_WORKER"] = name
    folder = Path(config._tmp_path_factory.getbasetemp()) / name
    folder.mkdir()
    config._tmp_path_factory._basetemp = folder
    config.pluginmanager.unregister(name="terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    with suppress(AttributeError):  # with -s there is none
        capture.stop_global_capturing()
        capture.start_global_capturing()
    config.pluginmanager.register(reports)
    reports.known = True
