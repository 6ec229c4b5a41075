"""Rounds side by side."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_project, a_user, run_at
from tests.webapp.runs.test_evaluations import summary
from webapp.rounds.comparison import compared
from webapp.rounds.config import PRESETS
from webapp.rounds.queries import standings
from webapp.rounds.services import start_round
from webapp.runs.models import State

pytestmark = pytest.mark.once


@pytest.fixture
def two(project, ready):
    """Two rounds that differ in the preset; the second was evaluated."""
    first = start_round(**ready, key="one")
    second = start_round(**ready | {"config": PRESETS["balanced"].config}, key="two")
    run_at(second.parts.get(part="evaluate").run, state=State.SUCCEEDED, summary=summary())
    return [first, second]


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


def address(project, rounds):
    asked = "&".join(f"round={row.pk}" for row in rounds)
    return f"{reverse('rounds:compare', args=[project.pk])}?{asked}"


@pytest.mark.twice
def test_only_settings_that_differ_are_told(project, two):
    found = compared(standings(project.rounds.order_by("number")))
    rows = {row.title: row.cells for row in found.settings}
    assert rows["Steps"] == ["20", "40"]
    assert not {"Beta", "Seed", "Labels", "Start model"} & set(rows)


def test_numbers_stand_with_their_intervals_and_gaps(project, two):
    found = compared(standings(project.rounds.order_by("number")))
    rows = {row.title: row.cells for row in found.numbers}
    assert rows["Win rate"][0] is None
    assert rows["Win rate"][1]["value"] == 0.71


def test_the_page_shows_both_rounds_with_verdicts(rita, project, two):
    answer = rita.get(address(project, two))
    for words in ("Round 1", "Round 2", "0.71 ± 0.04", ">Better<", "Where their settings differ"):
        assertContains(answer, words)


def test_one_round_is_not_compared(rita, project, two):
    for rounds in ([], two[:1]):
        assertContains(rita.get(address(project, rounds)), "Tick two rounds or more")


def test_rounds_of_another_project_are_left_out(client, project, two):
    other = a_project()
    client.force_login(a_user(other))
    answer = client.get(address(other, two))
    assertContains(answer, "A comparison needs two rounds")
    assertNotContains(answer, "0.71")


def test_the_list_lets_people_tick_rounds(rita, project, two):
    answer = rita.get(reverse("rounds:list", args=[project.pk]))
    assertContains(answer, 'type="checkbox" name="round"', count=2)
    assertContains(answer, "Compare the ticked rounds")
