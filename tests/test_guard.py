"""What a program started through the guard does when its starter goes away."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

GUARD = Path(__file__).parent.parent / "webapp" / "machine" / "guard.py"
# A program that reports its own pid and its child's, then waits.
PROGRAM = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(os.getpid(), child.pid, flush=True)
child.wait()
"""


def guarded() -> tuple[subprocess.Popen[str], list[int]]:
    guard = subprocess.Popen(
        [sys.executable, str(GUARD), sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return guard, [int(pid) for pid in guard.stdout.readline().split()]


def gone(pid: int) -> bool:
    """Wait until a process is over; pidfd becomes readable then, for a process of any parent."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 15)[0])
    finally:
        os.close(handle)


def test_a_closed_pipe_ends_the_program_and_its_children():
    guard, pids = guarded()
    guard.stdin.close()
    assert all(gone(pid) for pid in pids)
    assert guard.wait(15) != 0


def test_a_killed_guard_takes_the_program_with_it():
    guard, (program, _) = guarded()
    guard.kill()
    assert gone(program)


def test_a_terminated_guard_asks_the_program_to_end():
    guard, (program, _) = guarded()
    guard.send_signal(signal.SIGTERM)
    assert gone(program)
    assert guard.wait(15) == 256 - signal.SIGTERM
