"""torchrun itself: started by hand, and as a worker starts it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from alignment.command_line.commands import prepared
from alignment.seam.events import Finished, parse_event
from alignment.seam.folders import verify
from tests.alignment.conftest import tiny_policy
from webapp.machine import guard
from webapp.runs.supervisor import kill
from webapp.settings import TRAINERS

pytestmark = pytest.mark.prove

ROOT = Path(__file__).parents[2]
WORDS = ["day", "night", "sun", "rain", "good", "bad"]


@pytest.fixture
def options(tmp_path):
    tiny_policy().save(tmp_path / "policy")
    rows = [{"prompt": f"{a} {b}", "completion": a} for a in WORDS for b in WORDS]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return ["--policy", "policy", "--demonstrations", "rows.jsonl", "--output", "run"]


def test_a_command_runs_in_two_processes(options, tmp_path):
    command = [sys.executable, "-m", "alignment", "sft", *options, "--processes", "2"]
    place = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "run/output\n"), done.stderr
    lines = (tmp_path / "run" / "events.jsonl").read_bytes().splitlines()
    assert isinstance(parse_event(lines[-1]), Finished)
    assert verify(tmp_path / "run" / "output")


@pytest.fixture
def torchrun(options, tmp_path, monkeypatch):
    """torchrun as a worker starts it, below a guard, and its two trainers at work."""
    monkeypatch.chdir(tmp_path)
    given = dict(zip(["policy", "demonstrations", "output"], options[1::2], strict=True))
    folder = prepared("sft", given | {"epochs": 100, "batch": 1}).absolute()
    command = [*guard.COMMAND, "--at-once", *TRAINERS, str(folder)]
    command[command.index("--nproc-per-node=1")] = "--nproc-per-node=2"
    log = folder / "events.jsonl"
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    ) as guarded:
        until(lambda: log.exists() and b'"type":"step"' in log.read_bytes())
        found = psutil.Process(guarded.pid).children(recursive=True)
        trainers = [each for each in found if each.cmdline()[1:4] == ["-m", "alignment", "run"]]
        assert len(trainers) == 2
        yield guarded, trainers
    assert b'"type":"finished"' not in log.read_bytes()


def until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_process_outlives_a_worker_that_dies(torchrun):
    guarded, trainers = torchrun
    guarded.stdin.close()
    assert not psutil.wait_procs(trainers, timeout=20)[1]


def test_no_process_outlives_a_worker_that_ends_its_run(torchrun):
    guarded, trainers = torchrun
    kill(guarded)
    assert not psutil.wait_procs(trainers, timeout=20)[1]
