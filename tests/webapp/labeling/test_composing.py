"""The page on which a form is composed."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertRedirects

from tests.factories import again
from webapp.labeling.composition import Composition, composition_of
from webapp.labeling.kinds import TASK_KINDS
from webapp.projects.services import save_composition


@pytest.fixture
def url(project, client, researcher):
    client.force_login(researcher)
    return reverse("labeling:form", args=[project.pk])


def chosen(*scales, **changed):
    """What the page sends: every kind and flag, and these scales in the first rows."""
    sent = {
        "seen": 1,
        "kinds": list(TASK_KINDS),
        "points": 7,
        "flags": ["harmful", "false", "refuses", "off_topic"],
        "rationale": "optional",
        "scales-TOTAL_FORMS": 4,
        "scales-INITIAL_FORMS": 0,
    }
    for place in range(4):
        row = scales[place] if place < len(scales) else {"levels": 7}
        sent |= {f"scales-{place}-{name}": value for name, value in row.items()}
    return sent | changed


@pytest.mark.once
def test_what_is_chosen_is_how_the_project_asks(client, project, url, researcher):
    tone = {"name": "Tone", "low": "harsh", "high": "kind", "levels": 5}
    sent = chosen(tone, kinds=["compare", "rate"], points=4, flags=["false"], rationale="asked")
    assertRedirects(client.post(url, sent), url)
    project.refresh_from_db()
    assert composition_of(project) == Composition(
        kinds=["compare", "rate"], points=4, flags=["false"], rationale="asked", attributes=[tone]
    )
    page = client.get(url)
    assertContains(page, 'value="harsh"')
    assertContains(page, "Quality (7), Tone (5)")
    assertContains(page, "This is version 2")
    assert project.form_versions.first().by == researcher


@pytest.mark.once
def test_every_kind_chosen_means_those_to_come_too(client, project, url):
    client.post(url, chosen())
    assert again(project).composition == {}
    assert again(project).form_version == 1  # nothing changed


@pytest.mark.once
@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (chosen(kinds=[]), "Offer one kind at least"),
        (chosen(points=5), "not one of the available choices"),
        (chosen({"name": "Quality", "levels": 7}), "Two scales have the same name"),
        (chosen({"name": "", "low": "bad", "levels": 7}), "Give the scale a name"),
        (chosen({"name": "Tone", "levels": 12}), "less than or equal to 9"),
        (chosen({"name": "a\x07b", "levels": 7}), "letters, digits and signs"),
        ({"seen": 1}, "This field is required"),
    ],
)
def test_what_makes_no_form_is_refused_beside_its_field(client, project, url, sent, told):
    assertContains(client.post(url, sent), told)
    assert again(project).form_version == 1


def test_what_somebody_else_changed_meanwhile_is_told_and_saved_over_when_sent_again(
    client, project, url
):
    save_composition(project, {"points": 2}, seen=1)
    page = client.post(url, chosen(points=4))
    assertContains(page, "Somebody else changed the form")
    assert again(project).composition == {"points": 2}
    assert page.context["form"]["seen"].value() == "2"
    client.post(url, chosen(points=4, seen=2))
    assert again(project).composition == {"points": 4}
