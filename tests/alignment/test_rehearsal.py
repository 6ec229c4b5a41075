"""A dry run does one step of everything and leaves nothing but what it took."""

import json

import pytest

from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.models.rehearsal import extent_of, shape_in
from alignment.models.trials import measured
from alignment.seam.events import CheckpointSaved, StepDone, Stopped
from alignment.seam.memory import Shape
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_main import inputs, run_folder  # noqa: F401 - fixtures


def dried(folder):
    """The spec of a folder, to be tried."""
    return RunSpec.load(folder).model_copy(update={"dry": True})


@pytest.fixture
def tried(run_folder):  # noqa: F811
    """A dry run of an alignment of many steps: its folder, and all that it told."""
    folder = run_folder(steps=50, checkpoint_every=1)
    return folder, list(drive(dried(folder), folder))


def test_one_step_of_everything_leaves_nothing(tried):
    folder, events = tried
    assert [event.step for event in events if isinstance(event, StepDone)] == [1]
    assert not [event for event in events if isinstance(event, CheckpointSaved)]
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    summary = events[-1].summary
    assert 0 < summary["tried_seconds"] < summary["whole_seconds"]
    KINDS["align"].results.model_validate(summary)


def test_a_dry_run_that_is_asked_to_save_stops(run_folder):  # noqa: F811
    folder = run_folder(steps=50)
    (folder / "control.json").write_text(json.dumps({"stop": "save"}))
    *_, last = drive(dried(folder), folder)
    assert last == Stopped(step=0, saved=False)
    assert {path.name for path in folder.iterdir()} == {"config.json", "control.json"}


def test_a_run_says_how_much_it_reads(run_folder):  # noqa: F811
    folder = run_folder()
    extent = extent_of(RunSpec.load(folder), folder)
    assert extent.prompts == 6
    assert extent.rows == 0
    assert extent.shape == Shape(**measured(tiny_policy())["shape"])


def test_a_shape_needs_no_weights_in_memory(policy_folder):
    assert shape_in(policy_folder).parameters == sum(
        p.numel() for p in tiny_policy().model.parameters()
    )
