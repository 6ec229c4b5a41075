"""What a run has learned so far, kept as a model and evaluated while it goes on."""

import shutil
from pathlib import Path

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.kinds.spec import RunSpec
from alignment.seam.folders import committed
from tests.factories import a_run, a_user, a_worker, again, run_at
from tests.webapp.runs.test_evaluations import summary
from webapp.artifacts.models import Artifact
from webapp.projects.models import Split
from webapp.results.kept import standings_of
from webapp.runs import execution, folders
from webapp.runs.actions import actions_for
from webapp.runs.checkpoints import evaluate_checkpoint, kept_from, key_of
from webapp.runs.errors import RunError
from webapp.runs.inputs import given
from webapp.runs.keeping import TORN, _left_uploads
from webapp.runs.kinds import half_of
from webapp.runs.models import Checkpoint, Run, State

ALIGN = {"steps": 20, "beta": 0.5, "lora_rank": 4, "max_new_tokens": 32}


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def training(project, models):
    """An alignment at work, which has saved its tenth step."""
    run = run_at(
        a_run(project, "align", ALIGN, inputs=models), state=State.RUNNING, epoch=1, step=12
    )
    saved(run, 10)
    return run


def saved(run, step):
    """A checkpoint of a run, as its trainer commits it."""
    place = folders.folder_of(run) / f"ckpt-{step:06d}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with committed(place) as aside:
        (aside / "state.json").write_text(f'{{"step": {step}}}')
    stored = place.relative_to(folders.folder_of(run).parents[2])
    return Checkpoint.objects.create(run=run, epoch=1, step=step, bytes=2, path=str(stored))


def kept_run(run):
    return run.project.runs.get(kind="checkpoint")


def published(kept, folder):
    """A run that has made the model of a checkpoint."""
    with committed(folder / "output") as aside:
        (aside / "model.safetensors").write_text("weights")
    half_of("checkpoint").publish(kept, folder / "output")
    run_at(kept, state=State.SUCCEEDED)
    return kept.outputs.get()


def test_the_newest_checkpoint_is_evaluated_beside_what_its_run_read(training, models):
    saved(training, 12)
    evaluation = evaluate_checkpoint(training, by=a_user())
    kept = kept_run(training)
    assert evaluation.kind == "evaluate"
    assert (kept.config["of_run"], kept.config["step"]) == (training.pk, 12)
    assert kept.config["lora_rank"] == 4
    assert (evaluation.config["beta"], evaluation.config["max_new_tokens"]) == (0.5, 32)
    assert {row.role: row.artifact for row in kept.inputs.all()} == models
    read = {row.role: row.artifact for row in evaluation.inputs.all()}
    assert read == {role: models[role] for role in ("reference", "reward")}
    assert [(need.role, need.needs) for need in evaluation.needs.all()] == [("policy", kept)]
    assert evaluation.config["judge"] == "none"


@pytest.mark.once
def test_it_is_held_until_it_is_a_model(
    training, tmp_path, models, django_capture_on_commit_callbacks
):
    evaluation = evaluate_checkpoint(training, by=a_user())
    shutil.rmtree(folders.folder_of(training) / "ckpt-000010")  # as its trainer does in time
    kept = execution.claim("runs", a_worker())
    spec = RunSpec.load(folders.prepare(kept))
    assert spec.kind == "checkpoint"
    place = Path(spec.inputs["checkpoint"])
    assert (place / "state.json").read_text() == '{"step": 10}'
    assert set(spec.inputs) == {"checkpoint", "policy", "reference"}
    assert list(_left_uploads(10**12)) == []  # however late it is
    with django_capture_on_commit_callbacks(execute=True):
        model = published(kept, tmp_path)
    assert not place.exists()
    assert (model.type, model.producer) == (Artifact.Type.MODEL, kept)
    assert {row.role: row.artifact for row in given(again(evaluation))}["policy"] == model


@pytest.mark.once
def test_what_is_held_for_nobody_is_swept(training):
    evaluate_checkpoint(training, by=a_user())
    run_at(kept_run(training), state=State.CANCELLED)
    (left,) = _left_uploads(10**12)
    assert left.name == key_of(training.checkpoints.get())
    assert TORN.days == 1


def test_each_checkpoint_is_evaluated_once(training):
    first = evaluate_checkpoint(training, by=a_user())
    assert evaluate_checkpoint(training, by=a_user()) == first
    assert training.project.runs.count() == 3
    saved(training, 20)
    assert evaluate_checkpoint(training, by=a_user()) != first


def test_one_that_was_removed_meanwhile_is_passed_over(training):
    shutil.rmtree(folders.folder_of(training) / "ckpt-000010")
    with pytest.raises(RunError, match="are gone; wait for its next"):
        evaluate_checkpoint(training, by=a_user())
    saved(training, 12)
    assert evaluate_checkpoint(training, by=a_user()).needs.get().needs.config["step"] == 12


@pytest.mark.once
def test_without_held_out_prompts_nothing_is_started(training):
    training.project.prompts.of_split(Split.TEST).delete()
    with pytest.raises(RunError, match="0 prompts are held out for tests"):
        evaluate_checkpoint(training, by=a_user())
    assert training.project.runs.count() == 1


@pytest.mark.once
@pytest.mark.parametrize(
    ("state", "offered"), [(State.RUNNING, True), (State.FAILED, True), (State.SUCCEEDED, False)]
)
def test_it_is_offered_where_there_is_a_checkpoint_and_no_result(training, state, offered):
    assert ("evaluate" in actions_for(run_at(training, state=state))) == offered
    Checkpoint.objects.update(deleted=True)
    assert "evaluate" not in actions_for(training)
    assert "evaluate" not in actions_for(run_at(a_run(training.project), state=State.RUNNING))


@pytest.mark.once
def test_the_page_starts_one_and_shows_what_came_of_it(rita, training, tmp_path):
    page = reverse("runs:detail", args=[training.project_id, training.pk])
    assertContains(rita.get(page), "Evaluate the checkpoint")
    assertNotContains(rita.get(page), "Evaluated checkpoints")
    sent = rita.post(reverse("runs:act", args=[training.project_id, training.pk, "evaluate"]))
    evaluation = Run.objects.get(kind="evaluate")
    assertRedirects(sent, reverse("runs:detail", args=[training.project_id, evaluation.pk]))
    assertContains(rita.get(page), "Evaluated checkpoints")
    table = reverse("runs:evaluated", args=[training.project_id, training.pk])
    assertContains(rita.get(table), f'hx-get="{table}"')
    published(kept_run(training), tmp_path)
    given(evaluation)
    run_at(evaluation, state=State.SUCCEEDED)
    Run.objects.filter(pk=evaluation.pk).update(summary=summary())
    found = standings_of(training)
    assert [row.step for row in found.rows] == [10]
    assert found.rows[0].figures[1]["value"] == 0.8
    assertContains(rita.get(page), "0.80 ± 0.05")
    assertContains(rita.get(table), "0.80 ± 0.05")
    assertNotContains(rita.get(table), "hx-get")


@pytest.mark.sqlite  # its plans are read
def test_what_was_kept_is_looked_for_among_runs_of_its_kind_alone(training):
    assert "INDEX run_of_kind (project_id=? AND kind=?)" in kept_from(training).explain()
