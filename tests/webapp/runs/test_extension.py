"""A finished run goes on as another one with more steps, from its own checkpoint."""

import shutil
from pathlib import Path

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from alignment.kinds.spec import RunSpec
from alignment.seam.folders import committed
from tests.factories import a_run, again, an_artifact, run_at, some_prompts
from webapp.projects.models import Split
from webapp.runs import folders
from webapp.runs.errors import RunError
from webapp.runs.extension import checkpoint_to_extend
from webapp.runs.keeping import drop_old_checkpoints
from webapp.runs.models import Checkpoint, Run, State
from webapp.site.clock import after

pytestmark = pytest.mark.once

RULE = {"reward_weight": 0, "rule": "words", "steps": 20}


@pytest.fixture
def before(project, var, settings):
    """A finished alignment with a checkpoint of step 20."""
    some_prompts(project, 16, split=Split.TRAIN)
    policy = an_artifact(project, var, name="Starter")
    run = a_run(project, "align", RULE, inputs={"policy": policy, "reference": policy}, seed=3)
    run = run_at(run, state=State.SUCCEEDED, epoch=1, ended_at=after(-30 * 86400))
    place = Path(settings.STORE) / "runs" / str(run.pk) / "e1" / "ckpt-000020"
    place.parent.mkdir(parents=True)
    with committed(place) as aside:
        (aside / "state.json").write_text("{}")
    Checkpoint.objects.create(
        run=run, epoch=1, step=20, bytes=2, path=str(place.relative_to(settings.STORE))
    )
    return run


def extended(before, config=(), **columns):
    inputs = {row.role: row.artifact for row in before.inputs.all()}
    order = {"inputs": inputs, "seed": before.seed, "extends": before} | columns
    return a_run(before.project, "align", RULE | {"steps": 40} | dict(config), **order)


def test_it_begins_with_the_checkpoint_and_its_history_says_so(before):
    run = extended(before)
    assert run.resume_from.step == 20
    assert f"step 20 of “{before.name}” (run {before.pk})" in run.events.get().message
    assert drop_old_checkpoints() == 0  # as long as somebody goes on from it
    folder = folders.prepare(run_at(run, epoch=1))
    assert RunSpec.load(folder).resume_from.endswith(f"runs/{before.pk}/e1/ckpt-000020")
    assert again(run).resume_from == run.resume_from
    run_at(run, state=State.CANCELLED, ended_at=after(0))
    assert drop_old_checkpoints() == 1


def test_a_checkpoint_that_is_gone_is_no_fresh_start(before, settings):
    run = extended(before)
    shutil.rmtree(Path(settings.STORE) / run.resume_from.path)
    with pytest.raises(RunError, match="gone or damaged"):
        folders.prepare(run_at(run, epoch=1))


@pytest.mark.parametrize(
    ("config", "columns", "why"),
    [
        ({"steps": 20}, {}, "how much longer"),
        ({"beta": 0.7}, {}, "Beta: the run that goes on learned with 0.35"),
        ({"evaluate_every": 5}, {}, "Evaluate every: other prompts would be held out"),
        ({}, {"seed": 4}, "with its seed"),
    ],
    ids=["no longer", "another target", "other prompts", "another seed"],
)
def test_it_goes_on_as_it_was(before, config, columns, why):
    with pytest.raises(RunError, match=why):
        extended(before, config, **columns)


def test_only_a_finished_run_of_some_length_goes_on(before):
    assert checkpoint_to_extend(run_at(before, state=State.FAILED)) is None
    Checkpoint.objects.update(deleted=True)
    with pytest.raises(RunError, match="no checkpoint"):
        extended(run_at(before, state=State.SUCCEEDED))


@pytest.mark.twice
def test_its_page_leads_to_the_form_that_starts_it(client, researcher, before):
    client.force_login(researcher)
    page = reverse("runs:detail", args=[before.project_id, before.pk])
    query = f"?kind=align&like={before.pk}&extends={before.pk}"
    start = reverse("runs:start", args=[before.project_id])
    assertContains(client.get(page), f"{start}{query}".replace("&", "&amp;"))
    form = client.get(start + query)
    assertContains(form, f"goes on from where {before.name} ended")
    filled = {name: form.context["form"][name].value() for name in form.context["form"].fields}
    sent = {
        name: getattr(value, "pk", value)
        for name, value in filled.items()
        if value is not None and value is not False
    }
    answer = client.post(start + query, sent | {"align-steps": 50})
    run = Run.objects.latest("pk")
    assert answer.status_code == 302, answer.context["form"].errors
    assert (run.config["steps"], run.resume_from.run) == (50, before)
    assert client.get(f"{start}?kind=align&extends=999999").status_code == 404
    Checkpoint.objects.update(deleted=True)
    assertNotContains(client.get(page), "extends=")
