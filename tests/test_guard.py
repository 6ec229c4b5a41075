"""What a program started through the guard does when its starter goes away."""

import os
import select
import signal
import subprocess
import sys

import pytest

from webapp.machine import guard as module

# A program that reports its own pid and its child's, then waits.
PROGRAM = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(os.getpid(), child.pid, flush=True)
child.wait()
"""
# The same, but deaf: it does not end because it is asked to.
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{PROGRAM}"
# A program that starts another in a session of its own, below a guard, as torchrun does.
APART = f"""
import os, subprocess, sys
child = subprocess.Popen(
    [*{module.COMMAND!r}, "--at-once", sys.executable, "-c", {PROGRAM!r}],
    start_new_session=True, stdout=subprocess.PIPE, text=True,
)
print(os.getpid(), child.pid, child.stdout.readline(), end="", flush=True)
child.wait()
"""


def guarded(*options: str, program: str = PROGRAM) -> tuple[subprocess.Popen[str], list[int]]:
    guard = subprocess.Popen(
        [*module.COMMAND, *options, sys.executable, "-c", program],
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


@pytest.mark.parametrize("options", [(), ("--at-once",)])
def test_a_closed_pipe_ends_the_program_and_its_children(options):
    guard, pids = guarded(*options)
    guard.stdin.close()
    assert all(gone(pid) for pid in pids)
    assert guard.wait(15) == -signal.SIGKILL


def test_what_ends_at_once_is_not_asked():
    guard, pids = guarded("--at-once", program=DEAF)
    guard.stdin.close()
    assert guard.wait(module.GRACE / 2) == -signal.SIGKILL
    assert all(gone(pid) for pid in pids)


def test_a_session_below_ends_with_the_starter_though_its_group_is_another():
    guard, pids = guarded("--at-once", program=APART)
    assert len(pids) == 4
    os.killpg(guard.pid, signal.SIGKILL)
    assert gone(pids[0])
    guard.stdin.close()
    assert all(gone(pid) for pid in pids[1:])


def test_a_killed_guard_takes_the_program_with_it():
    guard, (program, _) = guarded()
    guard.kill()
    assert gone(program)


def test_a_terminated_guard_asks_the_program_to_end():
    guard, (program, _) = guarded()
    guard.send_signal(signal.SIGTERM)
    assert gone(program)
    assert guard.wait(15) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("sys.exit(5)", 5),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_a_guard_ends_as_its_program_does(end, status):
    guard, _ = guarded("--at-once", program=f"import os, sys; print(flush=True); {end}")
    assert guard.wait(15) == status


def test_a_program_whose_starter_died_before_the_kernel_was_asked_does_not_begin():
    code = f"from webapp.machine.guard import die_with; die_with({os.getppid()}); print('begun')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
