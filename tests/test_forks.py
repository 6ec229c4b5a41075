"""Forks stand for programs: they end with a status, die when they are killed, and obey whoever asked."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.forks import Fork
from tests.trainers import answering

ASKS = Path(__file__).with_name("forked_trainer.py")


@pytest.mark.parametrize(("act", "status"), [(lambda: None, 0), (lambda: 7, 7), (lambda: 1 / 0, 1)])
def test_a_fork_ends_with_what_it_did(act, status):
    assert Fork(act).wait() == status


def test_a_fork_dies_when_it_is_killed():
    fork = Fork(signal.pause)
    assert fork.poll() is None
    fork.kill()
    assert fork.wait() == fork.poll() == -signal.SIGKILL


def computed(arguments):
    """In place of a trainer: tells its process, then waits for its input to end."""
    print(arguments, os.environ["ASKED"], os.getpid(), flush=True)
    sys.stdin.read()
    return 3


@pytest.fixture
def asked(tmp_path):
    """A program that asks for a trainer and has been answered; the trainer's process."""
    with answering(tmp_path / "socket", computed) as place:
        asks = subprocess.Popen(
            [sys.executable, "-I", "-S", ASKS, place, tmp_path],
            env={"ASKED": "for"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with asks:
            said, _, pid = asks.stdout.readline().rpartition(" ")
            assert said == f"{['run', str(tmp_path)]} for"
            yield asks, psutil.Process(int(pid))
            asks.kill()


def test_whoever_asks_for_a_trainer_ends_as_it_does(asked):
    asks, _ = asked
    asks.stdin.close()
    assert asks.wait(10) == 3


def test_a_trainer_dies_with_whoever_asked_for_it(asked):
    asks, trainer = asked
    asks.kill()
    asks.wait(10)
    psutil.wait_procs([trainer], timeout=10)
    assert not trainer.is_running()


def test_whoever_asked_dies_as_its_trainer_does(asked):
    asks, trainer = asked
    trainer.kill()
    assert asks.wait(10) == -signal.SIGKILL
