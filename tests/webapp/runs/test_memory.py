"""A run that the system ends for want of memory: told once, and not tried where there is no more."""

import os
import signal
import subprocess
import sys

import pytest
from django.test import override_settings

from alignment.kinds.align.settings import AlignConfig
from alignment.seam import memory_use
from alignment.seam.events import Failed
from alignment.seam.memory_use import GIB, Squeeze
from tests.conftest import STAND_IN
from tests.factories import a_project, a_run, a_user, a_worker, again
from tests.stand_in import DIE, EATEN, HUNGRY, SEEN
from webapp.runs import execution, tend, workers
from webapp.runs.services import resume_run
from webapp.runs.supervisor import Outcome, Trainer
from webapp.runs.verdict import judge
from webapp.runs.waiting import waiting_reason

pytestmark = pytest.mark.once

SMALL, LARGE = {"memory_gib": 0.3}, {"memory_gib": 0.5}
FULL = Squeeze(8 * GIB, 7 * GIB, killed=False)


@pytest.fixture(scope="module")
def outgrown(kept):
    """A run that was killed on a small machine, whose memory the hungry stand-in fills."""
    command = [sys.executable, "-I", str(STAND_IN)]
    with pytest.MonkeyPatch.context() as monkeypatch, override_settings(TRAINER_COMMAND=command):
        make_small(monkeypatch)
        return killed(a_project())


def make_small(monkeypatch):
    monkeypatch.setattr(memory_use, "room", lambda: EATEN * 11 // 10)
    look_on = Trainer.next_batch

    def next_batch(trainer):
        found = look_on(trainer)
        if trainer.memory.most >= EATEN:
            (trainer.folder / SEEN).touch()
        return found

    monkeypatch.setattr(Trainer, "next_batch", next_batch)


@pytest.fixture
def run(outgrown, on_kept, settings):
    """That run, once it may be tried again."""
    settings.RUN_BACKOFF = 0
    return again(outgrown)


def killed(project, seed=HUNGRY):
    run = a_run(project, seed=seed)
    execution.execute(execution.claim("runs", a_worker(hardware=SMALL)))
    return again(run)


def test_one_kill_is_enough_to_say_what_there_was_what_it_held_and_what_to_try(run):
    assert (run.state, run.reason, run.attempts) == ("interrupted", "memory", 1)
    assert "there are 0.3 GiB, and it held 0.3 GiB of them" in run.message
    assert "a smaller batch" in run.message
    assert "not tried again where there is no more memory" in run.message


def test_it_is_not_tried_again_where_there_is_no_more_memory(run):
    a_worker(hardware=SMALL)
    tend.requeue()
    assert again(run).state == "interrupted"
    assert execution.claim("runs", a_worker(hardware=SMALL)) is None


def test_a_larger_worker_takes_it_by_itself_and_a_smaller_one_does_not(run):
    large = a_worker(hardware=LARGE)
    tend.requeue()
    assert again(run).state == "queued"
    assert execution.claim("runs", a_worker(hardware=SMALL)) is None
    assert execution.claim("runs", large).pk == run.pk


def test_a_queued_one_says_for_whom_it_waits(run):
    large = a_worker(hardware=LARGE)
    tend.requeue()
    large.delete()
    assert waiting_reason(again(run)) == "no worker has more than 0.3 GiB of memory"


def test_a_person_may_try_it_all_the_same(run):
    run = resume_run(run, by=a_user(run.project))
    assert (run.state, run.outgrew_gib) == ("queued", None)
    assert execution.claim("runs", a_worker(hardware=SMALL)).pk == run.pk


def test_a_kill_of_a_small_trainer_is_no_want_of_memory(project, stand_in):
    run = killed(project, DIE)
    assert (run.reason, run.outgrew_gib) == ("trainer_lost", None)
    assert "killed by SIGKILL; it held" in run.message
    tend.requeue()
    assert again(run).state == "queued"


BUG = Failed(code="bug", message="Connection closed by peer")


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(-9, None, "", forced=False, squeeze=FULL), "memory"),
        (Outcome(-9, None, "", forced=True, squeeze=FULL), "trainer_lost"),  # we did it
        (Outcome(-15, None, "", forced=False, squeeze=FULL), "trainer_lost"),
        (Outcome(1, None, "", forced=False, squeeze=FULL), "code"),
        (Outcome(1, None, "", forced=False, squeeze=FULL._replace(killed=True)), "memory"),
        (Outcome(1, BUG, "", forced=False, squeeze=FULL._replace(killed=True)), "memory"),
        (Outcome(1, BUG, "", forced=False, squeeze=FULL), "code"),
        (Outcome(-9, None, "", forced=False, squeeze=Squeeze(8 * GIB, GIB, killed=True)), "memory"),
        (Outcome(-9, None, "", forced=False, squeeze=Squeeze(8 * GIB, GIB, killed=False)), "trainer_lost"),
    ],
)  # fmt: skip
def test_the_system_s_kill_is_told_from_ours_and_from_anybody_s(outcome, reason):
    assert judge(outcome, "run", 7).reason == reason


def test_what_to_make_smaller_is_what_the_settings_spend():
    settings = AlignConfig(completions_per_prompt=16).model_dump()
    assert memory_use.smaller(settings)[0] == "fewer completions per prompt"
    assert memory_use.smaller(settings | {"lora_rank": 8})[-2:] != [
        "a LoRA rank",
        "a smaller model",
    ]
    assert memory_use.smaller({}) == ["a smaller model"]


def test_a_program_s_children_are_counted_and_its_peak_is_kept():
    code = (
        "import subprocess, sys; eaten = b'x' * (200 << 20); del eaten\n"
        "child = subprocess.Popen([sys.executable, '-c', 'x = b\"x\" * (150 << 20); print(1, flush=True); input()'],"
        "stdin=subprocess.PIPE)\nchild.wait()"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with program:
        watch = memory_use.Watch(program.pid)
        program.stdout.readline()
        watch.look()
        assert 350 << 20 < watch.most < 500 << 20
        os.kill(program.pid, signal.SIGKILL)
    watch.look()
    assert watch.squeeze().held == watch.most


def test_a_container_s_limit_is_its_room(tmp_path, monkeypatch):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text(f"{100 << 20}\n")
    cgroup = tmp_path / "proc" / "self"
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup").write_text("0::/a/b\n")
    monkeypatch.setattr(memory_use, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory_use, "CGROUPS", tmp_path)
    assert memory_use.room() == 100 << 20
    assert workers.hardware()["memory_gib"] == 0.1
