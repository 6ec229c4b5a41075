"""A spare trainer: there before its run, and in nothing else another than one that is started for it."""

import json
import os
import signal
import sys

import psutil
import pytest

from alignment.sampling.servers import KEY
from alignment.seam.events import Ready, dump_event
from tests.forks import Fork
from tests.webapp.ended import still_running
from tests.webapp.runs.test_supervisor import drained, family
from webapp.runs import supervisor, trainers

READY = Ready(total_steps=1, threads=1, device="cpu", resumed_step=0, bit_exact=True)
# Says who and where it is and all that it has of others, with words of its own before it has a run.
TELL = """
import json, os, sys
from pathlib import Path
{wait}
from alignment.seam.handing import handed_over
said = {{"pid": os.getpid(), "folder": os.getcwd(), "key": handed_over()}}
said["environment"] = {{name: value for name, value in os.environ.items() if name != "ATTUNE_GUARD"}}
Path("said.json").write_text(json.dumps(said))
print("computed")
"""
WAIT = """
print("loaded", flush=True)
from alignment.seam.spares import take_run
if take_run(int(sys.argv[1])) is None:
    sys.exit()
"""
FAMILY = """
import os, subprocess, sys, time
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), below.pid, file=open("said", "w"), flush=True)
time.sleep(600)
"""


@pytest.fixture
def programs(settings, monkeypatch):
    """Trainers that load nothing; a secret of the worker's environment, and one that a trainer may get."""
    monkeypatch.setenv("WANDB_API_KEY", "canary")
    monkeypatch.setenv(KEY, "key")
    settings.SPARE = True
    settings.TRAINER = settings.TRAINER_COMMAND = [sys.executable, "-c", TELL.format(wait="")]
    settings.SPARE_TRAINER = [sys.executable, "-c", TELL.format(wait=WAIT)]
    yield settings
    trainers.end_spare()


@pytest.fixture
def spare(programs):
    """The spare's process."""
    return made_spare()


def made_spare():
    trainers.prepare_spare(supervisor.environment())
    return trainers._spares[0].process


def computed(folder, *, asks=False):
    """What a trainer of this folder says of itself, and the guard it ran below."""
    folder.mkdir()
    with supervisor.launch(folder, asks_a_server=asks) as trainer:
        assert drained(trainer).returncode == 0
    return json.loads((folder / "said.json").read_text()), trainer.process


def test_a_run_is_given_to_the_spare_which_serves_no_other(tmp_path, spare):
    first, guard = computed(tmp_path / "first")
    assert guard is spare
    assert first["folder"] == str(tmp_path / "first")
    assert (tmp_path / "first/stdout.log").read_text() == "loaded\ncomputed\n"
    second, guard = computed(tmp_path / "second")
    assert guard is not spare
    assert second["pid"] != first["pid"]
    assert (tmp_path / "second/stdout.log").read_text() == "computed\n"


@pytest.mark.parametrize("asks", [True, False])
def test_a_spare_has_what_a_fresh_trainer_has_and_nothing_more(tmp_path, spare, asks):
    ours, guard = computed(tmp_path / "spare", asks=asks)
    fresh, other = computed(tmp_path / "fresh", asks=asks)
    assert guard is spare is not other
    assert ours["environment"] == fresh["environment"]
    assert ours["key"] == fresh["key"] == ("key" if asks else "")
    assert "canary" not in str(ours)


def test_where_the_spare_was_ended_a_trainer_is_started(tmp_path, spare):
    spare.kill()
    spare.wait(10)
    assert computed(tmp_path / "run")[1] is not spare


def test_a_spare_from_before_a_change_of_the_environment_serves_nobody(
    tmp_path, spare, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    said, guard = computed(tmp_path / "run")
    assert guard is not spare
    assert said["environment"]["CUDA_VISIBLE_DEVICES"] == "1"
    assert spare.returncode is not None


def test_a_spare_that_still_loads_is_idle_no_more_and_has_the_run(tmp_path, programs, monkeypatch):
    gate, said = tmp_path / "gate", []
    os.mkfifo(gate)
    loads = f"open({str(gate)!r}).read()"  # until somebody writes
    programs.SPARE_TRAINER = [sys.executable, "-c", f"{loads}\n{programs.SPARE_TRAINER[-1]}"]

    def weigh(leader, *, idle):
        said.append((leader, idle))
        if not idle:
            gate.write_text("go on")

    monkeypatch.setattr(trainers, "go_last", weigh)
    spare = made_spare()
    assert said == [(spare.pid, True)]
    assert computed(tmp_path / "run")[1] is spare
    assert said == [(spare.pid, True), (spare.pid, False)]


def test_there_is_one_spare_at_most_and_another_when_it_was_ended(programs, spare):
    trainers.prepare_spare(supervisor.environment())
    assert [one.process for one in trainers._spares] == [spare]
    spare.kill()
    spare.wait(10)
    trainers.prepare_spare(supervisor.environment())
    assert [one.process.poll() for one in trainers._spares] == [None]


def test_a_spare_that_no_run_needs_ends_by_itself(spare):
    trainers._spares.pop().channel.close()
    assert spare.wait(10) == 0


@pytest.mark.parametrize("at_work", [False, True])
def test_a_spare_ends_with_its_worker(tmp_path, programs, at_work):
    """Before its run and in it, with all that it started there."""
    programs.SPARE_TRAINER = [sys.executable, "-c", f"import sys\n{WAIT}\n{FAMILY}"]
    ours, its = os.pipe()

    def work():
        os.write(its, b"%d" % made_spare().pid)
        if not at_work:
            signal.pause()
        with supervisor.launch(tmp_path):
            signal.pause()

    worker = Fork(work)
    guard = psutil.Process(int(os.read(ours, 20)))
    found = [guard, *(family(tmp_path, "said") if at_work else guard.children())]
    worker.kill()
    worker.wait()
    assert not still_running(found, 10)


def test_a_spare_is_made_as_soon_as_a_run_computes(tmp_path, programs):
    code = f"open('events.jsonl', 'wb').write({dump_event(READY)!r})"
    programs.TRAINER = programs.TRAINER_COMMAND = [sys.executable, "-c", code]
    with supervisor.launch(tmp_path) as trainer:
        assert not trainers._spares
        drained(trainer)
    assert len(trainers._spares) == 1


@pytest.mark.parametrize("reason", ["set", "several processes", "small machine"])
def test_where_none_is_wanted_none_is_made(programs, monkeypatch, reason):
    if reason == "set":
        programs.SPARE = False
    elif reason == "several processes":
        programs.TRAINER_COMMAND = ["torchrun", *programs.TRAINER]
    else:
        monkeypatch.setattr("alignment.seam.memory_use.room", lambda: trainers.ROOMY - 1)
    trainers.prepare_spare(supervisor.environment())
    assert not trainers._spares


def test_a_spare_that_cannot_be_started_costs_the_run_nothing(programs, tmp_path, caplog):
    programs.BASE_DIR = tmp_path / "gone"
    trainers.prepare_spare(supervisor.environment())
    assert not trainers._spares
    assert "No trainer waits for the next run: [Errno 2]" in caplog.text
