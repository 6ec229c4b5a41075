"""What a machine lacks: memory, disk."""

import pytest
import torch

from alignment.__main__ import main
from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.seam.errors import FULL_DISK
from alignment.seam.events import Ready, parse_event
from tests.factories import a_run, a_worker, again, run_at
from tests.forks import Fork
from tests.stand_in import FINISH
from webapp.runs import execution, tend
from webapp.runs.supervisor import Outcome
from webapp.runs.verdict import judge

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    return described(tmp_path)


def described(folder):
    """The folder, as one of a pretrain run."""
    spec = RunSpec(kind="pretrain", run=1, epoch=1, threads=1, config={})
    (folder / "config.json").write_text(spec.model_dump_json())
    return folder


def ask_for_too_much(spec, folder):
    yield Ready(total_steps=1, threads=1, device="cpu")
    torch.empty(1 << 60, dtype=torch.uint8)


def fill_the_list(spec, folder):
    yield Ready(total_steps=1, threads=1, device="cpu")
    bytearray(1 << 62)


def fill_the_gpu(spec, folder):
    yield Ready(total_steps=1, threads=1, device="cpu")
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("greedy", [ask_for_too_much, fill_the_list, fill_the_gpu])
def test_too_little_memory_is_said_with_what_to_try(folder, monkeypatch, greedy):
    monkeypatch.setitem(
        KINDS,
        "pretrain",
        KINDS["pretrain"].model_copy(update={"run": f"{__name__}:{greedy.__name__}"}),
    )
    assert main(["run", str(folder)]) == 3
    failed = parse_event((folder / "events.jsonl").read_bytes().splitlines()[-1])
    assert failed.code == "oom"
    assert "smaller batch" in failed.message


def test_a_trainer_on_a_full_disk_says_so_by_its_status(small_disk, monkeypatch):
    folder = described(small_disk)
    monkeypatch.setitem(
        KINDS,
        "pretrain",
        KINDS["pretrain"].model_copy(update={"run": "tests.faults.talkative:talk"}),
    )
    done = Fork(lambda: main(["run", str(folder)])).wait()
    assert done == FULL_DISK
    verdict = judge(Outcome(done, None, "", forced=False), "run", 1)
    assert (verdict.to, verdict.reason) == ("interrupted", "disk_full")


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(project, stand_in, small_disk):
    stand_in.STORE = small_disk / "store"
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (MIB - 8192))
    run = a_run(project, seed=FINISH)
    execute(run)
    assert (again(run).state, again(run).reason) == ("interrupted", "disk_full")
    assert "Free some space" in again(run).message
    filler.unlink()
    tend.requeue()
    execute(run_at(run, not_before=None))
    assert again(run).state == "succeeded"


def execute(run):
    execution.execute(execution.claim(run.queue, a_worker()))
