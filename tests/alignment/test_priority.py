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
priority.give_way(session={session})
said = SESSION.read_text().split() if SESSION.exists() else []
print(os.nice(0), *(said[-1:] or ["none"]))  # it is empty in a session that the system weighs alone
"""


def session_of(process):
    """Niceness of a process's session, in the words of TELLS."""
    session = Path(f"/proc/{process}/autogroup")
    said = session.read_text().split() if session.exists() else []
    return (said[-1:] or ["none"])[0]


def told(wished, *, own_session, weighs=True):
    """Niceness of a process that gives way, and of its session."""
    result = subprocess.run(
        [sys.executable, "-c", TELLS.format(session=weighs)],
        env=os.environ | ({} if wished is None else {NICE: wished}),
        start_new_session=own_session,
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.split()


@cases(("wished", "nice"), [(None, "10"), ("", "10"), ("4", "4"), ("19", "19")])
def test_a_process_and_its_own_session_give_way(wished, nice):
    process, session = told(wished, own_session=True)
    assert process == str(max(int(nice), os.nice(0)))
    assert session in (nice, "none")


def test_the_session_of_a_guard_gives_way_with_what_it_guards():
    tells = TELLS.format(session=True)
    command = [*guard.COMMAND, "--at-once", sys.executable, "-c", tells]
    wished = os.environ | {NICE: "7"}
    with subprocess.Popen(
        command, env=wished, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as guarded:
        process, session = guarded.stdout.read().decode().split()
    assert process == str(max(7, os.nice(0)))
    assert session in ("7", "none")


def test_a_session_that_who_started_it_weighs_is_left_to_them():
    process, session = told("7", own_session=True, weighs=False)
    assert process == str(max(7, os.nice(0)))
    assert session in ("0", "none")


def test_an_idle_session_goes_after_all_others_until_it_is_called_up(monkeypatch):
    monkeypatch.setenv(NICE, "7")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as other:
        priority.go_last(other.pid, idle=True)
        idle = session_of(other.pid)
        priority.go_last(other.pid, idle=False)
        assert (idle, session_of(other.pid)) in (("19", "7"), ("none", "none"))
        other.stdin.close()
    priority.go_last(other.pid, idle=False)  # which has ended


def test_a_session_that_others_share_stays_as_it_is():
    process, session = told("7", own_session=False)
    assert (process, session) == (str(max(7, os.nice(0))), session_of("self"))


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
