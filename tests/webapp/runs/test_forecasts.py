"""What a run is expected to take: by its machine's speed, by earlier runs of its kind, and against what it took."""

import json
import os
import sys
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from alignment.kinds import KINDS
from alignment.seam.memory import Shape
from alignment.seam.timing import Speed
from tests.factories import (
    a_project,
    a_run,
    a_snapshot,
    a_worker,
    again,
    an_artifact,
    run_at,
    some_prompts,
)
from tests.stand_in import FINISH
from webapp.demo.scenario import forecasts
from webapp.launch.forecast import in_steps
from webapp.projects.models import Split
from webapp.results.words import forecast_in_words
from webapp.runs import execution, workers
from webapp.runs.forecasts import (
    Forecast,
    Ground,
    extent_of,
    forecast_of,
    keep_forecast,
    likely_worker,
    speed_of,
)
from webapp.runs.models import State
from webapp.runs.supervisor import environment

pytestmark = pytest.mark.once

SPEED = {"speed": Speed(1e-4, 1e11, 1e10, 3.0)._asdict()}
SHAPE = Shape(600_000, 2, 128, 4, 128, 2048, 128)._asdict()
PRETRAIN = KINDS["pretrain"]


@pytest.fixture(scope="module")
def shop(kept):
    """A project with a model whose shape is known, prompts and labels."""
    project = a_project()
    some_prompts(project, 12, split=Split.TRAIN)
    model = an_artifact(project, kept, name="Starter", summary={"shape": SHAPE})
    return project, {"policy": model, "labels": a_snapshot(project, kept).artifact}


@pytest.fixture
def project(shop, on_kept):
    return again(shop[0])


@pytest.fixture
def inputs(shop, project):
    return {role: again(row) for role, row in shop[1].items()}


@pytest.fixture
def worker(project):
    return a_worker(hardware=SPEED)


def done(project, kind, seconds, forecast, **columns):
    """A run that has succeeded after so many seconds."""
    began = timezone.now() - timedelta(hours=1)
    run = a_run(project, kind, {})
    run_at(run, state=State.SUCCEEDED, started_at=began, ended_at=began + timedelta(seconds=seconds),
           forecast=forecast, epoch=1, **columns)  # fmt: skip
    return again(run)


def forecast(project, worker, kind="pretrain", inputs=(), **settings):
    row = KINDS[kind]
    config = row.settings().model_copy(update=settings)
    return forecast_of(row, config, dict(inputs), Ground(project), worker)


def test_without_an_earlier_run_its_parts_are_summed_up(project, worker):
    found = forecast(project, worker)
    assert found == Forecast(found.summed, found.summed, 0, found.memory)
    assert (
        forecast(project, worker, steps=600).seconds > 1.5 * found.seconds > SPEED["speed"]["start"]
    )


def test_earlier_runs_of_the_kind_say_how_far_the_sum_is_off(project, worker):
    for took in (20, 30, 90):
        done(project, "pretrain", took, {"summed": 10.0})
    done(project, "pretrain", 9000, {"summed": 10.0}, dry=True)
    found = forecast(project, worker)
    assert (found.runs, found.seconds) == (3, pytest.approx(3 * found.summed))


def test_where_nothing_is_measured_the_last_run_says_it(project):
    assert forecast(project, a_worker()).seconds == 0
    done(project, "pretrain", 42, {})
    assert forecast(project, a_worker()) == Forecast(42, 0, 1, forecast(project, None).memory)


def test_a_run_that_was_interrupted_says_nothing(project, worker):
    run_at(done(project, "pretrain", 9000, {"summed": 10.0}), epoch=2)
    assert forecast(project, worker).runs == 0


def test_a_model_whose_shape_nobody_knows_has_no_sum(project, worker, inputs, tmp_path):
    assert forecast(project, worker, "sft", inputs).seconds > 0
    unknown = {"policy": an_artifact(project, tmp_path), "labels": inputs["labels"]}
    assert forecast(project, worker, "sft", unknown).seconds == 0


@pytest.mark.twice
def test_what_a_run_reads_is_counted(project, inputs):
    kind = KINDS["align"]
    found = extent_of(kind, kind.settings(), inputs, Ground(project), None)
    assert found.prompts == project.prompts.of_split(Split.TRAIN).count()
    assert found.rows == inputs["labels"].snapshot.pairs_in(Split.TRAIN)
    assert found.asked >= 1


def test_a_worker_whose_machine_is_measured_comes_first(project):
    a_worker()
    measured = a_worker(hardware=SPEED)
    assert likely_worker() == measured
    assert speed_of(measured) == Speed(**SPEED["speed"])


def test_a_worker_that_has_had_a_run_has_loaded_for_the_next(project, worker):
    first = forecast(project, likely_worker())
    run_at(a_run(project, "pretrain", {}), worker=worker)
    assert speed_of(likely_worker()) == Speed(**SPEED["speed"])._replace(start=0.0)
    loaded = forecast(project, likely_worker())
    assert first.seconds - loaded.seconds == pytest.approx(SPEED["speed"]["start"])


def test_a_run_that_begins_knows_how_long_its_trainer_took_to_load(project, worker):
    now = timezone.now()
    run_at(a_run(project, "pretrain", {}), worker=worker, started_at=now - timedelta(days=1))
    run = a_run(project, "pretrain", {})
    run_at(run, epoch=1, worker=worker, started_at=now - timedelta(seconds=100))
    keep_forecast(late := again(run))
    run_at(run, started_at=now)
    keep_forecast(early := again(run))
    assert late.forecast_seconds - early.forecast_seconds == pytest.approx(100, abs=10)
    assert again(worker).hardware == SPEED


@pytest.mark.parametrize("speed", [None, [], {"block": 1.0}, SPEED["speed"] | {"operations": 0.0}])
def test_a_measure_that_cannot_be_used_is_none(speed, db):
    assert speed_of(a_worker(hardware={"speed": speed})) is None


def test_a_run_keeps_what_it_was_expected_to_take(project, worker):
    run = a_run(project, "pretrain", {})
    run_at(run, epoch=1, worker=worker)
    keep_forecast(run := again(run))
    assert again(run).forecast_seconds == run.forecast["seconds"] > 3
    assert forecast_in_words(run).startswith("It was expected to take about ")


def test_a_run_of_settings_from_elsewhere_has_none(project, worker):
    run = a_run(project, "pretrain", {})
    run_at(run, epoch=1, worker=worker, config={"steps": "many"})
    keep_forecast(again(run))
    assert again(run).forecast == {}


def test_the_forecast_is_held_against_what_it_took(project, client, researcher):
    run = done(project, "pretrain", 160, {"seconds": 180.0, "memory": 1 << 29, "held": 900 << 20})
    client.force_login(researcher)
    page = reverse("runs:detail", args=[project.pk, run.pk])
    said = "Forecast: 3 min 0 s and 1.0 GB of memory; it took 2 min 40 s and held"
    assertContains(client.get(page), said[:22])
    assert forecast_in_words(run).startswith("Forecast: 3 min 0 s and ")
    run.forecast.pop("held")
    assert forecast_in_words(run) == "Forecast: 3 min 0 s; it took 2 min 40 s."
    run.state = State.FAILED
    assert forecast_in_words(run) == ""


def test_the_form_says_how_long_it_takes(project, worker, client, researcher):
    client.force_login(researcher)
    form = reverse("runs:start", args=[project.pk]) + "?kind=pretrain"
    assertContains(client.get(form), f"how fast {worker.host} computes")
    done(project, "pretrain", 1000, {"summed": 10.0})
    assertContains(client.get(form), "by its settings and what earlier runs of this kind took")
    worker.delete()
    assertNotContains(client.get(form), "It takes about")


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, 1), (17.4, 17), (63, 65), (610, 600), (8000, 7800)]
)
def test_a_forecast_is_no_finer_than_it_is_sure(seconds, told):
    assert in_steps(seconds) == told


def test_a_demo_says_how_many_forecasts_were_near(project):
    runs = [done(project, "pretrain", took, {"seconds": 10.0}) for took in (7, 14, 16)]
    found = forecasts([*runs, done(project, "pretrain", 5, {})])
    assert (found["near"], found["of"]) == (2, 3)
    assert list(found["took_of_forecast"].values()) == [0.7, 1.4, 1.6]


@pytest.fixture
def measuring(settings, tmp_path, monkeypatch, db):
    """A program that measures at once, counted by the lines that it leaves."""
    ran = tmp_path / "ran"
    code = f"import json; print('a warning'); open({str(ran)!r}, 'a').write('.'); print(json.dumps({SPEED['speed']!r}))"
    settings.SPEED_COMMAND = [sys.executable, "-I", "-c", code]
    monkeypatch.setenv(workers.NAME, "host:1:1")
    return tmp_path / "cache", ran


@pytest.mark.twice
def test_a_worker_tells_how_fast_its_machine_is_measured_once(measuring):
    folder, ran = measuring
    for _ in range(2):
        row = workers.register("runs")
        workers.measure_machine(folder)
        assert speed_of(again(row)) == Speed(**SPEED["speed"])
        workers.deregister()
    assert ran.read_text() == "."
    (known,) = folder.iterdir()
    os.utime(known, (0, 0))
    workers.measure_machine(folder)
    assert ran.read_text() == ".."


def test_a_machine_that_cannot_be_measured_is_none(measuring, settings):
    settings.SPEED_COMMAND = [sys.executable, "-I", "-c", "print('no')"]
    row = workers.register("runs")
    workers.measure_machine(measuring[0])
    assert speed_of(again(row)) is None


@pytest.mark.usefixtures("stand_in")
def test_a_dry_run_keeps_its_numbers_and_makes_nothing(project):
    """The stand-in leaves an output, as no dry run should; nothing of it is stored."""
    run = a_run(project, "pretrain", {}, seed=FINISH)
    run_at(run, dry=True)
    execution.execute(execution.claim("runs", a_worker(hardware=SPEED)))
    run = again(run)
    assert (run.state, run.summary) == ("succeeded", {"loss": 0.5})
    assert not run.outputs.exists()
    assert "seconds" not in run.forecast
    spec = json.loads((execution.folder_of(run) / "config.json").read_text())
    assert spec["dry"] is True


def test_one_step_is_tried_from_the_form(project, client, researcher, worker):
    client.force_login(researcher)
    form = reverse("runs:start", args=[project.pk]) + "?kind=pretrain"
    fields = client.get(form).context["form"]
    sent = {field.html_name: field.value() for field in fields if field.value() is not None}
    client.post(form, sent | {"try": "yes"})
    run = project.runs.get()
    assert run.dry
    page = client.get(reverse("runs:detail", args=[project.pk, run.pk]))
    assertContains(page, "One step of everything")


def test_trackers_that_are_asked_for_get_where_they_are_and_no_key(monkeypatch, settings):
    settings.TRACKERS = ("mlflow", "wandb")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example")
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    monkeypatch.setenv("WANDB_API_KEY", "canary")
    told = environment()
    assert told["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
    assert told["WANDB_PROJECT"] == "ours"
    assert "WANDB_API_KEY" not in told


@pytest.mark.twice
def test_a_rounds_form_reads_a_project_once_for_all_its_runs(
    project, worker, inputs, django_assert_max_num_queries
):
    ground = Ground(project)
    align = KINDS["align"]
    forecast_of(align, align.settings(), inputs, ground, worker)
    with django_assert_max_num_queries(2):  # earlier runs, and how many prompts there are
        forecast_of(align, align.settings(), inputs, ground, worker)
