"""Tasks of known answer, on the pages of quality and in its figures."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_label, again
from webapp.labeling.models import Gold, Task
from webapp.quality.adjudication import Decision, adjudicate, take_decision_back
from webapp.quality.jobs import measure_now
from webapp.quality.models import QualityReport

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def decided(disputed, researcher):
    """A task of which it is decided that the item at place 0 is better."""
    made = Decision.by_place(disputed, {"choice": 1})
    adjudicate(disputed, made, by=researcher, key=uuid4())
    return disputed


@pytest.fixture
def page(project, decided):
    return reverse("quality:disagreement", args=[project.pk, decided.pk])


@pytest.fixture
def gold(rita, page, decided):
    rita.post(f"{page}check/", {"explanation": "It is true."})
    return Gold.objects.get(task=decided)


def test_a_decided_task_becomes_a_check_by_a_button_and_ends_by_one(rita, page, project, gold):
    assert (gold.verdict, gold.explanation) == ("0>1", "It is true.")
    checks = reverse("quality:checks", args=[project.pk])
    assertContains(rita.get(checks), gold.task.prompt.text)
    assertContains(rita.get(page), "Check nobody with it")
    rita.post(f"{page}check/", {"end": "on"})
    assert not Gold.objects.exists()
    assertContains(rita.get(checks), "There is none")


def test_without_a_decision_there_is_no_check(rita, page, decided, researcher):
    take_decision_back(decided, by=researcher)
    assertContains(rita.post(f"{page}check/", follow=True), "Decide first what is right")
    assert not Gold.objects.exists()


@pytest.mark.twice
def test_a_check_follows_its_decision(gold, researcher):
    adjudicate(gold.task, Decision.by_place(gold.task, {"choice": 7}), by=researcher, key=uuid4())
    assert (again(gold).verdict, again(gold).explanation) == ("1>0", "It is true.")
    take_decision_back(gold.task, by=researcher)
    assert not Gold.objects.exists()


def test_only_who_answers_after_it_was_known_is_checked(rita, project, gold, ana):
    Task.objects.filter(pk=gold.task_id).update(need=4)
    right = a_label(gold.task, 1 if gold.task.order(2)[0] == 0 else 7)
    wrong = a_label(gold.task, 4)
    measure_now(project)
    figures = QualityReport.objects.get(project=project).figures
    told = {one["annotator"]: one["gold"] for one in figures["people"]}
    assert told[right.annotator_id]["value"] == 1
    assert told[wrong.annotator_id]["value"] == 0
    assert told[ana.pk]["value"] is None
    assert (figures["gold"]["value"], figures["gold"]["labels"]) == (0.5, 2)
    assert figures["origins"]["people"]["pairs"]["labels"] == 2  # those from before
    assert figures["gold_rulers"]["longest"]["labels"] == 2
    row = rita.get(reverse("quality:checks", args=[project.pk])).context["checks"][0]
    assert (row.answered, row.right) == (2, 1)


def test_how_people_are_checked_is_set_on_a_page(rita, project):
    url = reverse("quality:checks", args=[project.pk])
    sent = {"gold_every": 12, "repeat_every": 30, "third_if_two_differ": "on", "daily_quota": 200}
    assertContains(rita.post(url, sent, follow=True), "Saved.")
    found = again(project)
    assert (found.gold_every, found.repeat_every, found.daily_quota) == (12, 30, 200)
    assert found.third_if_two_differ
    assertContains(rita.post(url, sent | {"gold_every": -1}), "greater than or equal to 0")
    assert again(project).gold_every == 12
    assertNotContains(rita.get(url), "None")
