"""A dry run does one step of everything and leaves nothing but what it took."""

import json

import pytest

import alignment
from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.models.rehearsal import FACTOR, extent_in, seconds_of, shape_in, share_taken
from alignment.models.trials import measured
from alignment.seam.events import CheckpointSaved, StepDone, Stopped
from alignment.seam.memory import Shape
from alignment.seam.timing import Timing
from alignment.trainer import drive
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_main import inputs, run_folder  # noqa: F401 - fixtures
from tests.alignment.test_timing import SPEED
from tests.cases import cases
from tests.words import WORDS


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
    extent = extent_in(RunSpec.load(folder), folder)
    assert extent.prompts == 6
    assert extent.rows == 0
    assert extent.shape == Shape(**measured(tiny_policy())["shape"])


def test_a_shape_needs_no_weights_in_memory(policy_folder):
    assert shape_in(policy_folder).parameters == sum(
        p.numel() for p in tiny_policy().model.parameters()
    )


def test_what_a_step_took_is_told_by_steps_where_these_are_told(run_folder):  # noqa: F811
    spec = RunSpec.load(run_folder(steps=1))
    timing = Timing(SPEED, extent_in(spec, run_folder()))
    longer = spec.model_copy(update={"config": spec.config | {"steps": 2}})
    step = seconds_of(longer, timing) - seconds_of(spec, timing)
    assert share_taken(spec, timing, [1.5 * step], 1e9) == pytest.approx(1.5)
    assert share_taken(spec, timing, [], 1.5 * seconds_of(spec, timing)) == pytest.approx(1.5)
    assert share_taken(spec, timing, [100 * step], 1e9) == FACTOR


PROMPTS = [{"prompt": f"{one} {other}"} for one in WORDS[:8] for other in WORDS[:5]]
PAIRS = [row | {"chosen": "good good", "rejected": "bad"} for row in PROMPTS]
READ = {
    "train_reward": {"backbone": "policy", "pairs": PAIRS},
    "generate": {"policy": "policy", "prompts": PROMPTS},
    "distil": {"policy": "policy", "prompts": PROMPTS},
}


@cases("name", list(READ))
def test_runs_of_other_kinds_are_tried_too(policy_folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    call = getattr(alignment, name)
    short = {"max_new_tokens": 4} if "max_new_tokens" in call.settings.model_fields else {}
    run = call(call.settings(**short), dry_run=True, **READ[name])
    assert 0 < run.summary.tried_seconds <= run.summary.whole_seconds
    assert not run.folder.exists()
