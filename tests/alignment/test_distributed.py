"""Two real processes compute what one does, on the same rows."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from alignment.__main__ import run
from alignment.config import RunSpec
from alignment.distributed import shard
from alignment.events import Finished, Ready, StepDone, parse_event
from alignment.folders import verify
from alignment.policies import Policy
from alignment.records import DemonstrationRecord, ThumbRecord, write_jsonl
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair

pytestmark = pytest.mark.prove
ROOT = Path(__file__).parents[2]
WORDS = ["day", "night", "sun", "rain"]
PAIRS = [a_pair(" ".join(pick), f"{pick[0]} good", "bad") for pick in product(WORDS, repeat=2)]
LIKED = [(p.prompt, p.chosen if n % 3 else p.rejected, bool(n % 3)) for n, p in enumerate(PAIRS)]
ROWS = {
    "pairs": PAIRS,
    "demonstrations": [DemonstrationRecord(prompt=p, completion=c) for p, c, _ in LIKED],
    "thumbs": [ThumbRecord(prompt=p, completion=c, good=good) for p, c, good in LIKED],
}
RUNS = {  # with batches of odd sizes, and last ones of too few rows for two processes
    "imitation": ("sft", "demonstrations", {"batch": 3}),
    "pairs": ("prefer", "pairs", {"batch": 3, "divergence": "jensen_shannon"}),
    "kto": ("prefer", "pairs", {"batch": 3, "loss": "kto"}),
    "thumbs": ("prefer", "thumbs", {"batch": 3, "loss": "kto"}),
    "reward": ("reward", "pairs", {"batch": 3, "heads": 2}),
    "fsdp-imitation": ("sft", "demonstrations", {"batch": 3}),
    "fsdp-kto": ("prefer", "pairs", {"batch": 3, "loss": "kto"}),
}


def events(folder):
    return [parse_event(line) for line in (folder / "events.jsonl").read_bytes().splitlines()]


def steps(folder):
    return [event for event in events(folder) if isinstance(event, StepDone)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every run computed by one process and by two: folders by the number of processes."""
    top = tmp_path_factory.mktemp("runs")
    tiny_policy().save(top / "policy")
    for name, rows in ROWS.items():
        write_jsonl(top / f"{name}.jsonl", rows)
    found = {}
    for size in (1, 2):
        found[size] = {name: made(top, f"{name}-{size}", *RUNS[name]) for name in RUNS}
    assert [run(folder) for folder in found[1].values()] == [0] * len(RUNS)
    stopped = made(top, "stopped", *RUNS["pairs"])
    (stopped / "control.json").write_text('{"stop": "now"}')
    in_two([*found[2].values(), stopped])
    return found


def made(top, name, kind, rows, settings):
    inputs = dict.fromkeys(("policy", "reference", "backbone"), "../policy")
    spec = RunSpec(
        kind=kind,
        run=1,
        epoch=1,
        seed=3,
        threads=1,
        config={"learning_rate": 1e-2, "epochs": 1, "held_out": 0.3} | settings,
        inputs=inputs | {rows: f"../{rows}.jsonl"},
    )
    (top / name).mkdir()
    (top / name / "config.json").write_text(spec.model_dump_json())
    return top / name


def in_two(folders):
    """Compute the runs in two processes, as torchrun starts them."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in folders]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    tasks = [f"{port}={folder}" for port, folder in zip(ports, folders, strict=True)]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, "-m", "tests.alignment.several", *tasks]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=os.environ | shared | {"RANK": rank})
        for rank in ("0", "1")
    ]
    try:
        assert [process.wait(timeout=100) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()


@pytest.mark.parametrize("name", RUNS)
def test_every_loss_and_metric_is_that_of_one_process(folders, name):
    one, two = (steps(folders[size][name]) for size in (1, 2))
    assert len(one) == len(two) > 2
    for alone, together in zip(one, two, strict=True):
        expected = {k: v for k, v in alone.metrics.items() if k != "seconds/step"}
        assert {k: together.metrics[k] for k in expected} == pytest.approx(expected, abs=1e-5)
    assert abs(one[-1].metrics["loss"] - one[0].metrics["loss"]) > 1e-3


@pytest.mark.parametrize("name", RUNS)
def test_the_result_is_that_of_one_process(folders, name):
    if name == "reward":
        files = (folders[size][name] / "output" / "head.safetensors" for size in (1, 2))
        one, two = (load_file(file) for file in files)
        torch.testing.assert_close(two, one, atol=1e-4, rtol=0)
        return
    start = folders[1][name].parent / "policy"
    paths = (start, folders[1][name] / "output", folders[2][name] / "output")
    ids = torch.arange(16)[None]
    before, one, two = (Policy.load(path).model(ids).logits for path in paths)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=0)
    assert (two - before).abs().max() > 0.1


@pytest.mark.parametrize("name", RUNS)
def test_only_the_first_process_writes(folders, name):
    folder = folders[2][name]
    assert [type(event) for event in events(folder)].count(Ready) == 1
    assert isinstance(events(folder)[-1], Finished)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "events.jsonl",
        "output",
    ]
    assert verify(folder / "output")


def test_all_processes_stop_where_the_first_was_asked_to(folders):
    found = events(folders[2]["pairs"].parent / "stopped")
    assert [event.type for event in found] == ["ready", "stopped"]


def test_one_process_has_all_rows():
    assert shard([1, 2, 3]) == ([1, 2, 3], 1.0)
