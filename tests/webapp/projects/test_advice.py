"""Advice: what the project's own runs say of more labels and of more alignment, or that they are too few."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_run, a_snapshot, an_artifact, run_at
from webapp.home.advice import advice_for
from webapp.results.learning_curves import Point, gain_of, value_after
from webapp.runs.models import RunMetric, State

pytestmark = pytest.mark.once

SHARE = 0.5  # of its labels a reward model learns from


def estimate(value, half=0.02):
    return {"value": value, "low": value - half, "high": value + half, "n": 50}


def a_reward_run(project, var, pairs, accuracy, **more):
    snapshot = a_snapshot(project, var)
    snapshot.labels = round(pairs / SHARE)
    snapshot.manifest |= {"newest": {"label": 0, "ranked": 0}}
    snapshot.save()
    backbone = an_artifact(project, var)
    run = a_run(project, "reward", inputs={"backbone": backbone, "labels": snapshot.artifact})
    found = {"pairs_train": pairs, "accuracy": estimate(accuracy)} | more
    return run_at(run, state=State.SUCCEEDED, summary=found)


def an_evaluation(project, var, minutes, rate, judge="utility"):
    model = an_artifact(project, var)
    roles = {"policy": model, "reference": model}
    maker = a_run(
        project, "align", {"reward_weight": 0, "more_rules": "1 contains a"}, inputs=roles
    )
    run_at(maker, state=State.SUCCEEDED, step=30, summary={"seconds": 1})
    for step, seconds in enumerate((minutes, 3 * minutes)):
        RunMetric.objects.create(run=maker, key="seconds/step", step=step, epoch=1, value=seconds)
    made = an_artifact(project, var, producer=maker)
    run = a_run(project, "evaluate", {"judge": "none"}, inputs={"policy": made, "reference": model})
    return run_at(run, state=State.SUCCEEDED, summary={"win_rate": estimate(rate), "judge": judge})


@pytest.mark.twice
def test_without_runs_it_says_which_are_lacking(project, var):
    a_reward_run(project, var, 100, 0.6)
    an_evaluation(project, var, 5, 0.6)
    labels, minutes = advice_for(project)
    assert labels.gain is minutes.gain is None
    assert "three snapshots" in labels.sentence
    assert "three alignments" in minutes.sentence
    assert [row.point.amount for row in labels.rows] == [100]


def test_more_labels_are_worth_what_reward_models_of_more_of_them_gained(project, var):
    told = {100: 0.6, 200: 0.64, 400: 0.68}
    for pairs, accuracy in told.items():
        a_reward_run(project, var, pairs, accuracy)
    points = [Point(n, value, 0.04 / 3.92) for n, value in reversed(told.items())]
    gain = gain_of(tuple(points), 400, 500 * SHARE, most=1.0)
    (labels, _minutes) = advice_for(project)
    assert labels.gain == pytest.approx(gain)
    value, low, high = (100 * part for part in gain)
    said = f"{value:+.1f} points of a reward model's accuracy ({low:+.1f} to {high:+.1f})"
    assert f"The next 500 labels are worth about {said}" in labels.sentence
    after = value_after(tuple(points), 400 + 500 * SHARE, most=1.0)
    assert f"would be {100 * after.value:.1f} % then" in labels.sentence


def test_one_run_that_measured_a_learning_curve_will_do(project, var):
    rows = [(50, 0.6), (100, 0.63), (200, 0.66)]
    curve = [{"labels": n, "accuracy": estimate(value)} for n, value in rows]
    a_reward_run(project, var, 200, 0.66, learning_curve=curve)
    labels, _minutes = advice_for(project)
    assert [row.point.amount for row in labels.rows] == [50, 100, 200]
    assert labels.gain.value > 0


def test_more_minutes_are_worth_what_longer_alignments_won_by_one_judge(project, var):
    an_evaluation(project, var, 2, 0.1, judge="reward")  # another one's word does not count
    for minutes, rate in ((5, 0.55), (10, 0.6), (20, 0.64)):
        an_evaluation(project, var, minutes, rate)
    _labels, found = advice_for(project)
    assert [row.point.amount for row in found.rows] == [20, 10, 5]
    assert found.sentence.startswith("10 more minutes of alignment are worth about +0.0")
    assert found.gain.low <= found.gain.value <= found.gain.high


def test_its_page_shows_the_runs_and_the_home_asks_for_its_sentences(
    client, project, researcher, var
):
    client.force_login(researcher)
    here = reverse("advice", args=[project.pk])
    assertContains(client.get(reverse("project", args=[project.pk])), f'hx-get="{here}"')
    run = a_reward_run(project, var, 100, 0.6)
    assertContains(client.get(here), reverse("runs:detail", args=[project.pk, run.pk]))
    fragment = client.get(here, headers={"HX-Request": "true"})
    assertContains(fragment, "Too few runs tell what more labels are worth")
    assertNotContains(fragment, "<html")
