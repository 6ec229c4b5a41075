"""People of a crowd platform: let in by a signed link under their ID, with a code after their last label."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_user, again, some_tasks
from webapp.accounts.errors import AccountError
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.labeling.queue import claim
from webapp.labeling.services import submit_label
from webapp.people.panels import close_panel, let_in, make_panel, token_of_panel


@pytest.fixture
def panel(project):
    return make_panel(project, name="Crowd", quota=2, places=2, code="THANKS")


@pytest.fixture
def link(panel):
    return reverse("accounts:panel", args=[token_of_panel(panel)])


def label(project, person):
    submit_label(claim(project, person), client_id=uuid4(), answer={"choice": 1})


@pytest.mark.once
def test_a_worker_labels_and_gets_the_code_after_the_last_label(project, panel, link, client):
    some_tasks(project, 5)
    assertContains(client.get(f"{link}?worker=W1"), "Your worker ID: W1")
    assert not User.objects.exists()
    assertRedirects(
        client.post(link, {"worker": "W1"}), reverse("labeling:label", args=[project.pk])
    )
    worker = User.objects.get()
    assert (worker.username, worker.has_usable_password()) == (f"panel:{panel.pk}:W1", False)
    code = reverse("labeling:finished", args=[project.pk])
    assertContains(client.get(code), "2 labels are missing")
    label(project, worker)
    label(project, worker)
    assertContains(client.get(code), "THANKS")
    page = client.get(reverse("labeling:label", args=[project.pk]))
    assertContains(page, "My completion code")
    assert page.context["cards"] == []


def test_no_more_is_handed_out_than_is_wanted(project, panel, client):
    some_tasks(project, 5)
    worker = let_in(panel, "W1")
    client.force_login(worker)
    url = reverse("labeling:label", args=[project.pk])
    client.post(url, {"renew": "1"}, headers={"HX-Request": "true"})
    assert worker.assignments.count() == 2


@pytest.mark.once
def test_whoever_comes_again_has_the_same_account(panel, link):
    first = let_in(panel, "W1")
    assert let_in(panel, "W1") == first
    assert let_in(panel, "W2") != first


@pytest.mark.once
@pytest.mark.parametrize("worker", ["", "a b", "x" * 65, "W:1", "é"])
def test_what_is_no_id_lets_nobody_in(panel, link, client, worker):
    assertContains(client.post(link, {"worker": worker}), "worker ID", status_code=409)
    assert not User.objects.exists()


def test_places_are_counted_and_a_closed_panel_lets_nobody_in(panel, link, client):
    for number in range(2):
        let_in(panel, f"W{number}")
    assertContains(client.post(link, {"worker": "W9"}), "All places are taken", status_code=409)
    close_panel(panel)
    assert client.get(link).status_code == 410


@pytest.mark.once
def test_whoever_was_turned_away_stays_away(panel):
    worker = let_in(panel, "W1")
    worker.memberships.all().delete()
    with pytest.raises(AccountError, match="no longer"):
        let_in(panel, "W1")
    other = let_in(panel, "W2")
    User.objects.filter(pk=other.pk).update(is_active=False)
    with pytest.raises(AccountError, match="no longer"):
        let_in(panel, "W2")


@pytest.mark.once
def test_a_link_that_nobody_signed_is_none(panel, link, client):
    for token in (f"{panel.pk}", f"{panel.pk}:AAAA", token_of_panel(panel)[:-1], "x"):
        assert client.get(reverse("accounts:panel", args=[token])).status_code == 410


def test_who_is_signed_in_is_not_made_somebody_else(panel, link, project, client):
    client.force_login(a_user(project))
    assertContains(client.post(link, {"worker": "W1"}), "Sign out, and open the link once more")
    assert User.objects.count() == 1


def test_an_admin_opens_and_closes_a_panel_on_its_page(project, client):
    client.force_login(a_user(project, Role.ADMIN))
    url = reverse("panels", args=[project.pk])
    page = client.post(url, {"name": "Study", "quota": 3, "places": 9}, follow=True)
    made = project.panels.get()
    assertContains(page, f"http://testserver/panel/{token_of_panel(made)}/?worker=")
    assertContains(page, made.code)
    assert client.post(url, {"name": "Study", "quota": 0, "places": 9}).context["form"].errors
    page = client.post(reverse("close_panel", args=[project.pk, made.pk]), follow=True)
    assert again(made).closed
    assertNotContains(page, "?worker=")
    assert Client().get(reverse("accounts:panel", args=[token_of_panel(made)])).status_code == 410
