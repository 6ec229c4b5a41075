"""What a health report says, in words."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_label, a_user, an_artifact, some_labels, some_tasks
from webapp.datasets.cards import card
from webapp.datasets.exports import EXPORTS
from webapp.datasets.health import HealthMeter
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.warnings import health_in_words, health_warnings, warned_of
from webapp.labeling.models import Task
from webapp.projects.models import Split

NOTHING = HealthMeter().report()


def warned(**found):
    return [one.words for one in health_warnings({"health": NOTHING | found})]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"leaks": 2, "near_leaks": 1}, "several splits, or nearly do: 3."),
        ({"own_contradictions": 1}, "one and the same person judged both ways: 1."),
        ({"contradictions": 11, "pairs": 100}, "judged both ways: 11."),
        ({"repeated": 8, "near_pairs": 3, "pairs": 100}, "more than once, or nearly: 11."),
        ({"equal": 12, "pairs": 100}, "equal answers: 12."),
        ({"people": {"n": 3, "labels": 50, "top": 0.51}}, "51 % of the labels"),
    ],
)
def test_what_is_wrong_is_said(found, words):
    (said,) = warned(**found)
    assert words in said


def test_little_is_not_wrong():
    few = {"contradictions": 10, "repeated": 10, "equal": 11, "pairs": 100}
    assert warned(**few, people={"n": 3, "labels": 49, "top": 0.9}) == []
    assert health_warnings({}) == []


def test_length_is_told_where_the_whole_interval_is_beyond():
    lengths = NOTHING["lengths"]
    sure = {"longer": {"value": 0.8, "low": 0.7, "high": 0.9}}
    unsure = {"longer": {"value": 0.8, "low": 0.5, "high": 0.95}}
    assert "80 % [70 %, 90 %]" in warned(lengths=lengths | sure, pairs=50)[0]
    assert warned(lengths=lengths | unsure, pairs=50) == []


@pytest.mark.django_db
def test_page_card_and_launch_form_say_it(project, client, researcher, var):
    client.force_login(researcher)
    ana = a_user(project)
    some_tasks(project, 2, texts=("One.", "Another."))
    Task.objects.update(flip=0, prompt=Task.objects.first().prompt)
    for task, choice in zip(Task.objects.all(), (2, 6), strict=True):
        a_label(task, choice, annotator=ana)
    some_labels(some_tasks(project, 30))
    project.prompts.update(split=Split.TRAIN)
    snapshot = freeze_snapshot(project)
    (sentence,) = warned_of(snapshot.manifest)
    page = client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(page, "one and the same person judged both ways: 1.")
    assertContains(page, "Pairs one person judged both ways")
    told = dict(health_in_words(snapshot.manifest["health"]))
    assert told["Annotators"] == "31"
    assert "- Pairs one person judged both ways: 1" in card(
        snapshot, EXPORTS["raw_labels"], {"train": 1}
    )
    an_artifact(project, var)
    start = f"{reverse('runs:start', args=[project.pk])}?kind=reward&labels={snapshot.artifact_id}"
    assertContains(client.get(start), sentence.split(":")[0])
