"""torchrun itself: started by hand, and as a worker starts it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alignment.command_line.commands import prepared
from alignment.seam.events import Finished, parse_event
from alignment.seam.folders import verify
from tests.alignment.conftest import tiny_policy

pytestmark = pytest.mark.prove

ROOT = Path(__file__).parents[2]
WORDS = ["day", "night", "sun", "rain", "good", "bad"]
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


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


def children(pid):
    """The processes that this one started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def alive(pid):
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_process_outlives_a_worker_that_lets_go(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = dict(zip(["policy", "demonstrations", "output"], options[1::2], strict=True))
    folder = prepared("sft", given | {"epochs": 100, "batch": 1}).absolute()
    torchrun = subprocess.Popen(
        [sys.executable, "-m", *TORCHRUN, "alignment", "run", folder],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        env=os.environ | {"ATTUNE_EXIT_WITH_STDIN": "1"},
    )
    log = folder / "events.jsonl"
    until(lambda: log.exists() and b'"type":"step"' in log.read_bytes())
    workers = children(torchrun.pid)
    assert len(workers) == 2
    torchrun.kill()
    torchrun.wait()
    torchrun.stdin.close()
    until(lambda: not any(alive(worker) for worker in workers))
    assert b'"type":"finished"' not in log.read_bytes()
