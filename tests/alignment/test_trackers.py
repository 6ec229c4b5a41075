"""Runs are told to trackers beside their folder, and whatever happens there no run fails."""

import json
import sys

import pytest

from alignment.__main__ import main
from alignment.kinds.spec import RunSpec
from alignment.seam.events import Failed, Finished, Ready, StepDone, dump_event
from alignment.tracking import mlflow_runs, trackers, wandb_runs
from alignment.tracking.following import TRACKERS, track
from alignment.tracking.trackers import Followed, followed_run

READY = Ready(total_steps=2, threads=1, device="cpu")
STEPS = [StepDone(step=step, total=2, metrics={"loss": 1 / step}) for step in (1, 2)]
# As much of either library as runs are told by, written down in a file.
MLFLOW = """
import json, os
def note(*said):
    with open(os.environ["NOTED"], "a") as file:
        file.write(json.dumps(said) + "\\n")
class Named:
    experiment_id, run_id = "7", "r1"
    info = property(lambda self: self)
class MlflowClient:
    def get_experiment_by_name(self, name):
        note("experiment", name)
    def create_experiment(self, name):
        return "7"
    def create_run(self, place, run_name, tags):
        note("run", place, run_name, tags)
        return Named()
    def log_batch(self, run, params=(), metrics=()):
        note("batch", run, [list(one) for one in params], [[one[0], one[1], one[3]] for one in metrics])
    def set_terminated(self, run, status):
        note("end", run, status)
"""
ENTITIES = "def Metric(*parts): return parts\ndef Param(*parts): return parts\n"
WANDB = """
import json, os
def note(*said):
    with open(os.environ["NOTED"], "a") as file:
        file.write(json.dumps(said) + "\\n")
class Run:
    def log(self, numbers, step):
        note("log", numbers, step)
    def finish(self, exit_code):
        note("end", exit_code)
def init(project, name, job_type, config):
    note("init", project, name, job_type, config)
    return Run()
"""


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Both libraries as files that a process finds; what they were told."""
    place, noted = tmp_path / "libraries", tmp_path / "noted"
    (place / "mlflow").mkdir(parents=True)
    (place / "mlflow" / "__init__.py").write_text(MLFLOW)
    (place / "mlflow" / "entities.py").write_text(ENTITIES)
    (place / "wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(str(place))
    for name in ("mlflow", "mlflow.entities", "wandb"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("NOTED", str(noted))
    noted.touch()
    yield lambda: [json.loads(line) for line in noted.read_text().splitlines()]
    for name in ("mlflow", "mlflow.entities", "wandb"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path):
    """A run's folder, with what it told so far."""
    made = tmp_path / "run"
    made.mkdir()
    spec = RunSpec(kind="score", run=3, epoch=1, config={"prompts": 5})
    (made / "config.json").write_text(spec.model_dump_json())
    tell(made, READY, *STEPS)
    return made


def tell(folder, *events):
    with (folder / "events.jsonl").open("ab") as lines:
        lines.writelines(map(dump_event, events))


def test_mlflow_is_told_settings_numbers_and_the_end(folder, libraries):
    tell(folder, Finished(summary={}))
    assert main(["track", str(folder), "--to", "mlflow"]) == 0
    place, run, settings, batch, end = libraries()
    assert place == ["experiment", mlflow_runs.EXPERIMENT]
    assert run == ["run", "7", "score 3", {"kind": "score"}]
    assert settings[2] == [["prompts", "5"]]
    assert batch[3] == [["loss", 1.0, 1], ["loss", 0.5, 2]]
    assert end == ["end", "r1", "FINISHED"]


def test_weights_and_biases_are_told_too(folder, libraries):
    tell(folder, Failed(code="nan", message="It diverged."))
    assert track(folder, "wandb") == 0
    assert libraries() == [
        ["init", wandb_runs.PROJECT, "score 3", "score", {"prompts": 5}],
        ["log", {"loss": 1.0}, 1],
        ["log", {"loss": 0.5}, 2],
        ["end", 1],
    ]


@pytest.mark.parametrize("name", list(TRACKERS))
def test_a_library_that_is_missing_is_said_in_one_line(folder, name, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    assert track(folder, name) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{name} is not told of this run: ")


def test_a_tracker_follows_a_run_that_computes(folder, libraries, monkeypatch):
    """What came before is not told again; the rest is, once its trainer has gone."""
    monkeypatch.setenv("ATTUNE_TRACKERS", "wandb")
    with followed_run(folder, kept=True):
        tell(folder, StepDone(step=3, total=3, metrics={"loss": 0.1}), Finished(summary={}))
    assert [said for said in libraries() if said[0] != "init"] == [
        ["log", {"loss": 0.1}, 3],
        ["end", 0],
    ]


def test_a_tracker_that_does_not_answer_is_ended(folder, libraries, monkeypatch, capfd, tmp_path):
    (tmp_path / "libraries" / "wandb.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(trackers, "GRACE", 0.01)
    told = Followed(folder, ["wandb"])
    told.end()
    assert told.processes["wandb"].returncode == -9
    assert (
        capfd.readouterr().err
        == "wandb was not told all of this run: it did not answer in 0.01 s.\n"
    )


def test_a_board_that_cannot_be_written_is_one_line(folder, capsys):
    (folder / "tensorboard").write_text("a file")
    told = Followed(folder, [])
    for event in STEPS:
        told.add(event)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("TensorBoard's file is not written: ")


def test_trackers_that_nobody_knows_are_named(folder, monkeypatch, capsys):
    monkeypatch.setenv("ATTUNE_TRACKERS", "mlfow")
    with followed_run(folder, kept=True) as told:
        assert told.processes == {}
    assert "ATTUNE_TRACKERS names “mlfow”" in capsys.readouterr().err
