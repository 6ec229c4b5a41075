"""Whether a process has ended is said only where it is certain."""

import os
import signal
import subprocess
import sys

import pytest

from webapp.machine import processes
from webapp.machine.processes import has_ended, own_name

CODE = "from webapp.machine.processes import own_name; print(own_name(), flush=True); input()"


@pytest.fixture
def other():
    """Another process, which says its name."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", CODE], text=True, **pipes) as process:
        yield process
        process.kill()


def test_it_lives_until_it_is_killed_even_where_nobody_has_looked_yet(other):
    name = other.stdout.readline().strip()
    assert not has_ended(name)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert has_ended(name)
    other.wait()
    assert has_ended(name)


def test_one_that_only_sleeps_lives(other):
    name = other.stdout.readline().strip()
    other.send_signal(signal.SIGSTOP)
    assert not has_ended(name)


def test_an_id_that_another_process_got_is_not_the_same_process():
    place, pid, began = own_name().split("/")
    assert not has_ended(own_name())
    assert has_ended(f"{place}/{pid}/{int(began) - 1}")


@pytest.mark.parametrize(
    "name", ["", "nonsense", "another machine pid:[1]/1/1", f"{own_name()}0"[1:]]
)
def test_what_is_not_of_this_machine_is_not_known(name):
    assert not has_ended(name)


def test_where_the_system_tells_nothing_nothing_is_known(tmp_path, monkeypatch):
    name = own_name()
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert own_name() == ""
    assert not has_ended(name.replace(str(os.getpid()), "1"))


def test_somebody_elses_process_that_may_not_be_seen_is_not_known(monkeypatch):
    def forbid(*_):
        raise PermissionError

    place, _pid, _began = own_name().split("/")
    monkeypatch.setattr("os.kill", forbid)
    assert not has_ended(f"{place}/{2**22 + 1}/1")
