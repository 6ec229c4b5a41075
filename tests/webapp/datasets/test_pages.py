import shutil

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import (
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    a_run,
    a_user,
    an_artifact,
    some_labels,
    some_tasks,
)
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.site import pages


@pytest.fixture
def url(project):
    return reverse("datasets:snapshots", args=[project.pk])


@pytest.fixture
def inside(client, researcher):
    client.force_login(researcher)
    return client


def page_of(snapshot):
    return reverse("datasets:snapshot", args=[snapshot.project_id, snapshot.pk])


def test_annotators_have_no_snapshots_page(project, client, url):
    client.force_login(a_user(project, Role.ANNOTATOR))
    assert client.get(url).status_code == client.post(url).status_code == 404


def test_another_projects_snapshot_does_not_exist(project, inside):
    other = a_project()
    a_label(some_tasks(other)[0])
    foreign = freeze_snapshot(other)
    assert inside.get(page_of(foreign)).status_code == 404
    borrowed = reverse("datasets:snapshot", args=[project.pk, foreign.pk])
    assert inside.get(borrowed).status_code == 404


def test_without_labels_the_page_says_what_to_do(inside, url):
    response = inside.get(url)
    assertContains(response, "No labels to freeze yet")
    assertNotContains(response, "Freeze a snapshot")


def test_the_button_freezes_what_the_page_promised(project, researcher, inside, url):
    some_labels(some_tasks(project, 2))
    assertContains(inside.get(url), "2 new labels")
    response = inside.post(url, {"include_simulated": "on", "include_ranks": "on"})
    snapshot = project.snapshots.get()
    assertRedirects(response, page_of(snapshot))
    assert (snapshot.labels, snapshot.created_by) == (2, researcher)
    assertContains(inside.get(url), "0 new labels")


def test_simulated_labels_are_left_out_when_unticked(project, inside, url):
    first, second = some_tasks(project, 2)
    a_label(first)
    a_label(second, annotator=a_user(project, Role.ANNOTATOR, simulated=True))
    assertContains(inside.get(url), "Labels by simulated annotators")
    inside.post(url, {"include_ranks": "on"})
    assert project.snapshots.get().labels == 1


def test_freezing_nothing_is_refused_in_words(project, inside, url):
    response = inside.post(url, {"include_simulated": "on"}, follow=True)
    assertContains(response, "There are no labels to freeze yet.")
    assert not project.snapshots.exists()


def test_a_snapshots_page_shows_what_is_in_it(project, inside):
    a_ranking(a_prompt(project), 0, 1)
    for task, choice in zip(
        some_tasks(project, 3, texts=("<b>one</b>", "two")), (1, 4, 4), strict=True
    ):
        a_label(task, choice)
    response = inside.get(page_of(freeze_snapshot(project)))
    (tally,) = response.context["tallies"]
    assert dict(tally.answers)["tie"] == 2
    assertContains(response, "A ranked above B", 1)
    assertContains(response, "&lt;b&gt;one&lt;/b&gt;")
    assertContains(response, project.snapshots.get().artifact.manifest_sha256)


def test_a_snapshots_page_names_the_runs_trained_on_it(project, inside, var):
    a_label(some_tasks(project)[0])
    snapshot = freeze_snapshot(project)
    run = a_run(
        project,
        "reward",
        inputs={"labels": snapshot.artifact, "backbone": an_artifact(project, var)},
    )
    assertContains(inside.get(page_of(snapshot)), run.name)


def test_a_snapshot_whose_file_is_gone_says_so(project, inside):
    a_label(some_tasks(project)[0])
    snapshot = freeze_snapshot(project)
    shutil.rmtree(snapshot.artifact.path)
    assertContains(inside.get(page_of(snapshot)), "not in the store any more")


def test_snapshots_come_in_pages_at_a_constant_cost(
    project, inside, url, django_assert_max_num_queries, monkeypatch
):
    monkeypatch.setattr(pages, "ROWS", 15)
    a_label(some_tasks(project)[0])
    for number in range(16):
        project.guidelines = f"Version {number}"  # else nothing has changed
        freeze_snapshot(project)
    with django_assert_max_num_queries(12):
        response = inside.get(url)
    assert len(response.context["page"]) == 15
