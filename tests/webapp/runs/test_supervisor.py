"""The trainer's process: reading it, stopping it, and not leaving it behind."""

import json
import signal
import sys
import time

import psutil
import pytest

from alignment.kinds.spec import RunSpec
from alignment.seam.events import Failed, Finished, StepDone, Stopped, dump_event
from alignment.seam.handing import KEY
from tests.forks import Fork
from tests.stand_in import DEAF, WAIT
from tests.test_guard import APART, PROGRAM
from tests.webapp.ended import still_running
from webapp.runs import supervisor
from webapp.runs.spool import read_batch
from webapp.runs.supervisor import Outcome
from webapp.runs.verdict import judge

DONE, STOPPED = Finished(summary={}), Stopped(step=3, saved=True)
STEP = dump_event(StepDone(step=1, total=2, metrics={}))


@pytest.fixture
def folder(tmp_path):
    """A run folder for the stand-in, which behaves by its seed."""

    def made(seed):
        spec = RunSpec(kind="align", run=1, epoch=1, seed=seed, config={})
        (tmp_path / "config.json").write_text(spec.model_dump_json())
        return tmp_path

    return made


def drained(trainer, wish=""):
    """Read until the trainer ends, and say what is wanted once it has begun; how it ended."""
    while (batch := trainer.next_batch()) is not None:
        trainer.confirm(batch)
        trainer.obey(wish if trainer.offset else "")
    return trainer.outcome()


@pytest.mark.parametrize(("wish", "saved"), [("save", True), ("now", False)])
def test_a_trainer_stops_as_it_is_asked(folder, stand_in, wish, saved):
    with supervisor.launch(folder(WAIT)) as trainer:
        outcome = drained(trainer, wish)
    assert (outcome.last.saved, outcome.returncode, outcome.asked) == (saved, 0, wish)
    assert json.loads((trainer.folder / "control.json").read_text()) == {"stop": wish}


def test_a_trainer_that_does_not_listen_is_ended(folder, stand_in):
    stand_in.RUN_STOP_GRACE = 0.3
    with supervisor.launch(folder(DEAF)) as trainer:
        outcome = drained(trainer, "save")
    assert (outcome.returncode, outcome.forced) == (-signal.SIGTERM, True)


def test_a_trainer_that_has_not_begun_is_ended_at_once(folder, settings):
    settings.TRAINER_COMMAND = [sys.executable, "-c", "import time; time.sleep(60)"]
    with supervisor.launch(folder(WAIT)) as trainer:
        trainer.obey("save")
        outcome = trainer.outcome()
    assert (outcome.forced, outcome.began) == (True, False)


def test_without_a_renewal_the_fence_kills_the_trainer(folder, stand_in):
    stand_in.RUN_LEASE = 0.4
    with supervisor.launch(folder(WAIT)) as trainer:
        assert trainer.fence.fired.wait(10)
        assert trainer.process.wait(10) == -signal.SIGKILL


def test_leaving_the_block_ends_the_trainer(folder, stand_in):
    with supervisor.launch(folder(WAIT)) as trainer:
        assert trainer.process.poll() is None
    assert trainer.process.returncode == -signal.SIGKILL


def family(folder, log="stdout.log"):
    """The trainer and what it started, as soon as it has said who they are."""
    said = folder / log
    deadline = time.monotonic() + 30
    while not said.exists() or not said.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [psutil.Process(int(pid)) for pid in said.read_text().split()]


@pytest.mark.parametrize("code", [PROGRAM, APART])
def test_a_trainer_ends_with_its_worker_and_with_all_that_it_started(folder, settings, code):
    """A worker that is killed does not get to end anything."""
    settings.TRAINER_COMMAND = [sys.executable, "-c", code]

    def work():
        with supervisor.launch(folder(WAIT)):
            signal.pause()

    worker = Fork(work)
    found = family(folder(WAIT))
    worker.kill()
    worker.wait()
    assert not still_running(found, 10)


@pytest.mark.parametrize("code", [PROGRAM, APART])
def test_all_that_a_trainer_started_ends_with_the_block(folder, settings, code):
    settings.TRAINER_COMMAND = [sys.executable, "-c", code]
    with supervisor.launch(folder(WAIT)) as trainer:
        found = family(trainer.folder)
    assert not still_running(found, 10)


def test_all_that_the_trainer_prints_is_logged(folder, settings):
    settings.TRAINER_COMMAND = [sys.executable, "-c", "import sys; print(1); sys.exit('two')"]
    with supervisor.launch(folder(WAIT)) as trainer:
        drained(trainer)
    assert (trainer.folder / "stdout.log").read_text() == "1\ntwo\n"


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL", "ATTUNE_SECRET_KEY", "HF_TOKEN", "SOME_PASSWORD", "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI", "SSH_AUTH_SOCK", "GITHUB_PAT",
        "GOOGLE_APPLICATION_CREDENTIALS", "OPENAI_API_KEY", "KUBECONFIG", "LDAP_BIND", "TORCHX",
    ],
)  # fmt: skip
def test_what_belongs_to_other_programs_stays_out_of_the_trainers_environment(monkeypatch, name):
    monkeypatch.setenv(name, "canary")
    assert "canary" not in supervisor.environment().values()


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
        "HF_HOME", "PYTHONHASHSEED", "NCCL_DEBUG", "https_proxy", "ATTUNE_NICE", "XDG_CACHE_HOME",
    ],
)  # fmt: skip
def test_what_a_trainer_reads_reaches_it(monkeypatch, name):
    monkeypatch.setenv(name, "told")
    assert supervisor.environment()[name] == "told"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy", "HF_ENDPOINT"])
def test_no_address_brings_a_password_to_the_trainer(monkeypatch, settings, name):
    monkeypatch.setenv(name, "http://me:canary@proxy:8080/path")
    assert "http://proxy:8080/path" in supervisor.environment()[name]
    settings.TRAINER_VARIABLES = (name,)
    assert supervisor.environment()[name] == "http://me:canary@proxy:8080/path"


def test_an_admin_names_what_else_reaches_trainers(monkeypatch, settings):
    monkeypatch.setenv("SITE_LICENCE", "told")
    settings.TRAINER_VARIABLES = ("OTHER", "SITE_LICENCE")
    assert supervisor.environment()["SITE_LICENCE"] == "told"


@pytest.mark.parametrize("asks", [True, False])
def test_only_who_asks_a_server_gets_its_key_and_none_by_its_environment(
    folder, settings, monkeypatch, asks
):
    monkeypatch.setenv(KEY, "canary")
    code = "import os; from alignment.seam.handing import handed_over as key; print(key(), key(), dict(os.environ))"
    settings.TRAINER_COMMAND = [sys.executable, "-c", code]
    with supervisor.launch(folder(WAIT), asks_a_server=asks) as trainer:
        drained(trainer)
    said = (trainer.folder / "stdout.log").read_text()
    assert said.startswith("canary canary {" if asks else "  {")
    assert said.count("canary") == (2 if asks else 0)
    assert "canary" not in str(supervisor.environment())


def test_one_process_asks_a_server_however_many_gpus_there_are(settings):
    settings.GPUS, settings.TRAINER, settings.TRAINER_COMMAND = 2, ["one"], ["two"]
    assert supervisor.trainer_command(asks_a_server=True) == ["one"]
    assert supervisor.trainer_command(asks_a_server=False) == ["two"]


def test_half_a_line_waits_for_the_rest(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(STEP + STEP[:10])
    batch = read_batch(path, 0)
    assert (len(batch.events), batch.end) == (1, len(STEP))


def test_a_line_that_is_no_event_is_skipped(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"nonsense\n" + STEP)
    assert len(read_batch(path, 0).events) == 1


def test_a_line_longer_than_a_batch_is_read_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(dump_event(Finished(summary={"text": "x" * 200_000})))
    assert len(read_batch(path, 0).events) == 1


def test_many_lines_are_read_in_batches(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(STEP * 5000)
    first = read_batch(path, 0)
    assert 0 < len(first.events) < 5000
    assert read_batch(path, first.end).start == first.end


@pytest.mark.parametrize(
    ("outcome", "intent", "state", "reason"),
    [
        (Outcome(0, DONE, "", forced=False), "run", "succeeded", ""),
        (Outcome(0, DONE, "save", forced=False), "pause", "succeeded", ""),
        (Outcome(0, DONE, "now", forced=False), "cancel", "cancelled", "cancelled"),
        (Outcome(-9, None, "now", forced=True), "cancel", "cancelled", "cancelled"),
        (Outcome(0, STOPPED, "save", forced=False), "pause", "interrupted", "paused"),
        (Outcome(-15, None, "save", forced=True), "pause", "interrupted", "pause_save_failed"),
        (Outcome(-15, None, "save", forced=True, began=False), "pause", "interrupted", "paused"),
        (Outcome(0, STOPPED, "save", forced=False), "run", "interrupted", "shutdown"),
        (Outcome(-9, None, "", forced=False), "run", "interrupted", "trainer_lost"),
        (Outcome(-9, DONE, "", forced=False), "run", "succeeded", ""),
        (Outcome(1, None, "", forced=False), "run", "failed", "code"),
        (Outcome(0, None, "", forced=False), "run", "failed", "code"),
        (Outcome(3, Failed(code="oom", message="m"), "", forced=False), "run", "failed", "oom"),
        (Outcome(1, Failed(code="bug", message="m"), "", forced=False), "run", "failed", "code"),
        (
            Outcome(1, Failed(code="bug", message="[Errno 28] No space left on device"), "", forced=False),
            "run",
            "interrupted",
            "disk_full",
        ),
    ],
)  # fmt: skip
def test_how_a_trainer_ended_says_where_its_run_stands(outcome, intent, state, reason):
    verdict = judge(outcome, intent, 7)
    assert (verdict.to, verdict.reason) == (state, reason)
    assert verdict.message or state == "succeeded"
