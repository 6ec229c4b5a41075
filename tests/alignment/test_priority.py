"""A process that computes gives way, and so does its session where that is its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignment.__main__ import program
from alignment.seam import priority
from alignment.seam.errors import ConfigError
from tests.cases import cases
from webapp.machine import guard

NICE = "ATTUNE_NICE"
TELLS = """
import os, sys
from alignment.seam import priority
SESSION = priority.SESSIONS / "self/autogroup"
priority.give_way(idle=True)
idle = SESSION.read_text().split() if SESSION.exists() else []
priority.give_way()
said = SESSION.read_text().split() if SESSION.exists() else []
print(os.nice(0), *(idle[-1:] or ["none"]), *(said[-1:] or ["none"]))  # it is empty in a session that the system weighs alone
"""

WAITS = """
import sys
give_way(idle=True)
print("idle", flush=True)
sys.stdin.read()
"""


def session_of(process):
    """Niceness of a process's session, in the words of TELLS."""
    session = Path(f"/proc/{process}/autogroup")
    said = session.read_text().split() if session.exists() else []
    return (said[-1:] or ["none"])[0]


def told(wished, *, own_session):
    """Niceness of a process, of its session while it was idle, and of it after that."""
    result = subprocess.run(
        [sys.executable, "-c", TELLS],
        env=os.environ | ({} if wished is None else {NICE: wished}),
        start_new_session=own_session,
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.split()


@cases(("wished", "nice"), [(None, "10"), ("", "10"), ("4", "4"), ("19", "19")])
def test_a_process_and_its_own_session_give_way(wished, nice):
    process, idle, session = told(wished, own_session=True)
    assert process == str(max(int(nice), os.nice(0)))
    assert (idle, session) in (("19", nice), ("none", "none"))


def test_the_session_of_a_guard_gives_way_with_what_it_guards():
    command = [*guard.COMMAND, "--at-once", sys.executable, "-c", TELLS]
    wished = os.environ | {NICE: "7"}
    with subprocess.Popen(
        command, env=wished, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as guarded:
        process, idle, session = guarded.stdout.read().decode().split()
    assert process == str(max(7, os.nice(0)))
    assert (idle, session) in (("19", "7"), ("none", "none"))


def test_an_idle_session_is_called_up_by_who_started_it(monkeypatch):
    monkeypatch.setenv(NICE, "7")
    with subprocess.Popen(
        [sys.executable, "-c", f"from alignment.seam.priority import give_way\n{WAITS}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as idle:
        assert idle.stdout.readline() == b"idle\n"
        before = session_of(idle.pid)
        priority.end_idleness(idle.pid)
        assert (before, session_of(idle.pid)) in (("19", "7"), ("none", "none"))
        idle.stdin.close()
    priority.end_idleness(idle.pid)  # which has ended


def test_a_session_that_others_share_stays_as_it_is():
    process, idle, session = told("7", own_session=False)
    assert (process, idle, session) == (
        str(max(7, os.nice(0))),
        session_of("self"),
        session_of("self"),
    )


def test_a_session_that_cannot_be_weighed_just_now_is_a_moment_later(monkeypatch):
    class Busy:
        asked = []

        def __truediv__(self, _part):
            return self

        def write_text(self, text, **_):
            self.asked.append(text)
            if len(self.asked) < 3:
                raise BlockingIOError

    monkeypatch.setattr(priority, "SESSIONS", Busy())
    monkeypatch.setattr(priority, "PAUSE", 0)
    priority._weigh("self", 7)
    assert Busy.asked == ["7"] * 3


@pytest.mark.parametrize("wished", ["-1", "20", "1.5", "ten", "nan", "1e9", "٣", "9" * 5000])
def test_what_is_no_niceness_is_refused(wished, monkeypatch):
    monkeypatch.setenv(NICE, wished)
    with pytest.raises(
        ConfigError, match=r"ATTUNE_NICE cannot be .{1,70}; it takes a whole number"
    ):
        priority.give_way()


def test_a_refused_niceness_ends_a_command_with_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv(NICE, "soon")
    assert program(["fields", "align"]) == 1
    assert capsys.readouterr().err.startswith("ATTUNE_NICE cannot be “soon”; it takes")
