"""How a project asks: what its form allows, and by which form an answer was given."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pydantic import ValidationError
from pytest_django.asserts import assertContains

from tests.factories import again, some_tasks, tasks_of
from webapp.labeling.composition import Composition, composition_of, form_of
from webapp.labeling.kinds import compare
from webapp.labeling.models import Label
from webapp.labeling.queue import claim
from webapp.projects.errors import ProjectError
from webapp.projects.services import mark_of, save_composition, save_guidelines

pytestmark = pytest.mark.once

JSON = {"Accept": "application/json"}


def composed(project, **chosen):
    """The project, asking so from now on."""
    form = Composition(**chosen).model_dump(mode="json", exclude_defaults=True)
    save_composition(project, form, seen=project.form_version)
    project.refresh_from_db()
    return project


@pytest.fixture
def ask(project, ana, client):
    """Answer the next card of a project whose form is composed so; what a program is told."""
    client.force_login(ana)
    url = reverse("labeling:label", args=[project.pk])

    def send(**sent):
        named = {"assignment": claim(project, ana).pk, "client_id": uuid4()}
        return client.post(url, named | sent, headers=JSON)

    return send


def test_without_any_choice_it_asks_as_ever(project):
    form = composition_of(project)
    assert (form, form.points, form.rationale) == (Composition(), 7, "optional")
    assert form.offers("compare")
    assert [scale.name for scale in form.scales] == ["quality"]


def test_each_change_has_a_number_and_what_was_before_is_kept(project, researcher):
    save_guidelines(project, "Be kind.", seen=mark_of(""), by=researcher)
    project.refresh_from_db()
    composed(project, points=4)
    save_guidelines(project, "Be kind.", seen=mark_of("Be kind."))  # nothing new
    kept = project.form_versions.values_list("number", "guidelines", "composition")
    assert list(kept) == [(3, "Be kind.", {"points": 4}), (2, "Be kind.", {}), (1, "", {})]
    assert again(project).form_version == 3
    assert form_of(project, 2).composition == Composition()
    assert form_of(project, 99) == form_of(project) == (3, Composition(points=4))


@pytest.mark.twice
def test_a_form_that_somebody_else_changed_meanwhile_is_not_overwritten(project):
    composed(project, points=4)
    with pytest.raises(ProjectError, match="Somebody else"):
        save_composition(project, {"points": 2}, seen=1)
    assert again(project).composition == {"points": 4}


@pytest.mark.parametrize(("points", "steps"), [(2, "26"), (4, "1357"), (7, "1234567")])
def test_the_scale_of_a_comparison_follows(project, client, ana, points, steps):
    composed(project, points=points)
    some_tasks(project)
    client.force_login(ana)
    page = client.get(reverse("labeling:label", args=[project.pk])).content.decode()
    form = Composition(points=points)
    keys = compare.KIND.composed_keys(form)
    assert [key.usual for key in keys] == [*map(str, range(1, points + 1)), "0"]
    assert [key.answer["choice"] for key in keys] == [*map(int, steps), 0]
    assert page.count('name="choice"') == points + 1


def test_an_answer_beyond_the_scale_is_refused(project, ask):
    composed(project, points=2)
    some_tasks(project)
    told = ask(choice=1)
    assert (told.status_code, Label.every.count()) == (409, 0)
    assert "no answer to this question" in told.json()["error"]
    assert ask(choice=6).status_code == 200


@pytest.mark.twice
def test_a_page_of_before_answers_by_its_own_form(project, ask):
    some_tasks(project)
    composed(project, points=2)
    assert ask(choice=1, form=1).status_code == 200
    assert Label.objects.get().form == 1


def test_without_a_number_it_is_the_present_form(project, ask):
    composed(project, points=4)
    some_tasks(project, 2)
    for form in ({}, {"form": "9" * 30}):
        assert ask(choice=3, **form).status_code == 200
    assert set(Label.objects.values_list("form", flat=True)) == {2}


def test_a_reason_that_is_asked_for_must_be_given(project, ask):
    composed(project, rationale="asked")
    some_tasks(project)
    told = ask(choice=2, rationale="  ")
    assert (told.status_code, Label.every.count()) == (409, 0)
    assert "asks for a reason" in told.json()["error"]
    assert ask(choice=2, rationale="Kinder.").status_code == 200


def test_a_page_shows_what_its_form_offers(project, client, ana):
    composed(
        project, flags=["false"], rationale="none", attributes=[{"name": "tone", "low": "harsh"}]
    )
    tasks_of(project, "rate", size=2)
    client.force_login(ana)
    page = client.get(reverse("labeling:label", args=[project.pk]))
    assertContains(page, 'id="why" hidden')
    assertContains(page, 'name="flags"', count=1)
    assertContains(page, "harsh", count=4)  # of four answers, of which two are hidden


@pytest.mark.parametrize(
    "chosen",
    [
        {"points": 5},
        {"flags": ["any thing"]},
        {"attributes": [{"name": "Quality"}]},
        {"attributes": [{"name": "a"}, {"name": "A"}]},
        {"attributes": [{"name": "a\nb"}]},
        {"attributes": [{"name": " "}]},
        {"attributes": [{"name": "a", "levels": 10}]},
        {"attributes": [{"name": str(n)} for n in range(5)]},
        {"colour": "red"},
    ],
)
def test_what_no_form_asks_is_refused(chosen):
    with pytest.raises(ValidationError):
        Composition(**chosen)
