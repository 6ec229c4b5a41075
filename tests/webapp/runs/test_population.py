"""Runs of several agents: what they publish, and how their pages tell one agent from another."""

import pytest
from django import forms
from django.urls import reverse
from pydantic import ValidationError
from pytest_django.asserts import assertContains

from alignment.kinds.population.settings import PopulationConfig
from alignment.seam.events import SampleDrawn
from alignment.seam.folders import committed, verify
from tests.factories import a_run, run_at
from webapp.results.charts import charts_for, table_of
from webapp.results.queries import metric_series, samples
from webapp.runs.execution import _sample
from webapp.runs.kinds import half_of
from webapp.runs.models import RunMetric, State
from webapp.site.fields import add_errors, drawn_fields, values_of

NAMES = ["jensen_shannon", "alpha"]


def found(value):
    estimate = {"value": value, "low": value - 0.004, "high": value + 0.004, "n": 40, "unit": ""}
    keys = ("reward", "reward_gain", "kl_reference", "divergence_target")
    return dict.fromkeys(keys, estimate) | {"stopped_by": "steps"}


@pytest.fixture
def run(project, models):
    config = {"divergences": NAMES}
    run = a_run(project, "population", config, inputs=models, name="Several")
    summary = {"agents": {"jensen_shannon": found(0.5), "alpha": found(0.25)}}
    return run_at(run, state=State.SUCCEEDED, epoch=1, step=2, summary=summary)


@pytest.fixture
def output(tmp_path):
    with committed(tmp_path / "output") as outer:
        for name in NAMES:
            with committed(outer / name) as folder:
                (folder / "model.json").write_text(name)
    return tmp_path / "output"


@pytest.mark.once
def test_every_agent_becomes_a_model_version(run, output):
    for _ in range(2):  # an answer that was lost is given again
        half_of("population").publish(run, output)
    made = {artifact.name: artifact for artifact in run.outputs.order_by("pk")}
    assert list(made) == ["Several: Jensen-Shannon", "Several: Alpha"]
    assert {artifact.type for artifact in made.values()} == {"model"}
    alpha = made["Several: Alpha"]
    assert (alpha.path / "model.json").read_text() == "alpha"
    assert verify(alpha.path) == alpha.manifest_sha256
    assert alpha.summary["kl_reference"]["value"] == 0.25


def measured(run, **values):
    rows = [
        RunMetric(run=run, key=f"kl/reference@{agent}", step=step, epoch=1, value=value)
        for agent, line in values.items()
        for step, value in line.items()
    ]
    RunMetric.objects.bulk_create(rows)


@pytest.mark.once
def test_a_chart_has_a_curve_of_every_agent(run):
    measured(run, jensen_shannon={1: 0.1, 2: 0.2}, alpha={1: 0.3})
    series = metric_series(run)
    main, more = charts_for("population", series, live=False)
    assert ([chart.key for chart in main], more) == (["kl/reference"], [])
    table = table_of(main[0], series)
    assert table.titles == ["Alpha", "Jensen-Shannon"]
    assert table.rows == [(1, [0.3, 0.1]), (2, [None, 0.2])]


def test_the_page_shows_the_agents_and_their_curves(client, researcher, run):
    measured(run, jensen_shannon={1: 0.125}, alpha={1: 0.375})
    client.force_login(researcher)
    page = client.get(reverse("runs:detail", args=[run.project_id, run.pk]))
    assertContains(page, '<th scope="row">Jensen-Shannon</th>', html=True)
    assertContains(page, '<td class="num">0.250 ± 0.004</td>', count=4, html=True)
    cells = "".join(f'<td class="num">{value}</td>' for value in (1, 0.375, 0.125))
    assertContains(page, f"<tr>{cells}</tr>", html=True)


@pytest.mark.once
def test_samples_are_told_apart_by_agent(run):
    for agent in NAMES:
        for stage, text in (("before", "same"), ("after", agent)):
            place = {"step": 1, "prompt_key": "k", "prompt": "?"}
            event = SampleDrawn(stage=stage, completion=text, agent=agent, **place)
            _sample(run, event).save()
    shown = [(pair.agent, pair.before.completion, pair.after.completion) for pair in samples(run)]
    assert shown == [("Jensen-Shannon", "same", "jensen_shannon"), ("Alpha", "same", "alpha")]


class PopulationForm(forms.Form):
    def __init__(self, *args):
        super().__init__(*args)
        self.fields |= drawn_fields("population", PopulationConfig())


def sent(**changes):
    """The form as a browser sends it untouched, but for the changes."""
    filled = {name: field.initial for name, field in PopulationForm().fields.items()}
    form = PopulationForm(filled | {f"population-{name}": v for name, v in changes.items()})
    assert form.is_valid(), form.errors
    return form


def test_a_form_sends_the_settings_of_a_population_back():
    assert PopulationConfig(**values_of(sent(), "population")) == PopulationConfig()
    chosen = values_of(sent(divergences=NAMES), "population")
    assert PopulationConfig(**chosen).divergences == tuple(NAMES)


def test_the_divergences_are_boxes_to_tick():
    field = PopulationForm()["population-divergences"]
    assert field.widget_type == "checkboxselectmultiple"
    assert [box.data["value"] for box in field if box.data["selected"]] == [
        "jensen_shannon", "reverse_kl", "forward_kl",
    ]  # fmt: skip


def test_what_does_not_go_together_is_said_beside_the_divergences():
    form = sent(must_contain="please")
    with pytest.raises(ValidationError) as refusal:
        PopulationConfig(**values_of(form, "population"))
    add_errors(form, refusal.value, section="population")
    assert "Reverse_kl is infinite" in form.errors["population-divergences"][0]
