"""What the demo makes of the aligned model, once, and what it says of that."""

import pytest

from tests.factories import a_snapshot, an_artifact, run_at, some_prompts
from tests.webapp.demo.test_scenario import Listener, Machine
from webapp.artifacts.models import Artifact
from webapp.demo.lab import SMALLER, aligned, lab_figures, lab_orders
from webapp.demo.scenario import SEED, Demo
from webapp.projects.models import Split
from webapp.rounds.config import RoundConfig
from webapp.rounds.services import start_round
from webapp.runs.models import Run, State

pytestmark = pytest.mark.django_db
FOUND = {"bytes_ratio": 0.26, "win_rate": {"value": 0.5, "low": 0.48, "high": 0.52, "n": 64}}


class Measuring(Machine):
    """A stack whose runs say what a small model costs."""

    def pause(self, seconds):
        self.waits += 1
        for run in Run.objects.exclude(state=self.state):
            run_at(run, state=self.state, summary=FOUND)


@pytest.fixture
def round_(project, var):
    """A round whose reward model and aligned model are there."""
    some_prompts(project, 2, split=Split.TRAIN)
    some_prompts(project, 8, split=Split.TEST)
    policy = an_artifact(project, var, name="Starter")
    config = RoundConfig.model_validate({"evaluate": {"judge": "utility"}})
    made = start_round(snapshot=a_snapshot(project, var), policy=policy, config=config, key="first")
    for part, type in (("reward", Artifact.Type.REWARD), ("align", Artifact.Type.MODEL)):
        run = made.parts.get(part=part).run
        an_artifact(project, var, type=type, producer=run, name=part)
    return made


@pytest.mark.once
def test_every_small_model_is_one_of_the_aligned_one_held_against_its_target(round_):
    orders = lab_orders(round_, SEED)
    assert [order.kind for order in orders] == ["quantise", "factorise", "distil"]
    for order in orders:
        assert order.inputs["policy"] == aligned(round_) != round_.policy
        assert order.inputs["reference"] == round_.policy
        assert order.inputs["reward"].type == Artifact.Type.REWARD
        assert (order.config.judge, order.config.distance) == ("utility", "measured")


def test_the_lab_is_made_once_and_its_page_is_named(round_):
    demo = Demo(Measuring(State.SUCCEEDED), Listener())
    Run.objects.update(state=State.SUCCEEDED)
    before = Run.objects.count()
    pages = {demo.lab(round_) for _again in range(2)}
    assert pages == {
        f"http://127.0.0.1:8000/p/{round_.project_id}/models/{aligned(round_).pk}/smaller/"
    }
    assert Run.objects.count() == before + len(SMALLER)
    assert demo.reporter.said[0].startswith("INT8 model: 26 % of the bytes http://127.0.0.1:8000")
    assert len(demo.reporter.said) == 2 * len(SMALLER)


@pytest.mark.once
def test_figures_name_the_models_and_the_smallest_that_wins_as_often(round_, var):
    demo = Demo(Measuring(State.SUCCEEDED), Listener())
    demo.lab(round_)
    assert lab_figures(round_) == {"models": {}, "smallest": None}  # nothing was stored
    run = Run.objects.get(kind="quantise")
    an_artifact(round_.project, var, producer=run, name="INT8 model", summary=FOUND)
    found = lab_figures(round_)
    assert found["smallest"] == "INT8 model"
    assert found["models"]["INT8 model"]["size"]["value"] == 0.26
