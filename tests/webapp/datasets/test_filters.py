"""What a snapshot takes in of a project's labels, and how that is told."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    a_user,
    some_tasks,
    tasks_of,
)
from webapp.accounts.roles import Role
from webapp.datasets import snapshots
from webapp.datasets.errors import SnapshotError
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.forms import FreezeForm
from webapp.datasets.models import Preference
from webapp.datasets.queries import count_wanted, pseudonyms
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.models import Completion, Label
from webapp.projects.tags import tag_prompts

pytestmark = pytest.mark.django_db
DAY = date(2026, 5, 3)


@pytest.fixture
def url(project):
    return reverse("datasets:snapshots", args=[project.pk])


@pytest.fixture
def inside(client, researcher):
    client.force_login(researcher)
    return client


def taken(project, **wanted):
    """The labels of a snapshot by this filter; a test's project has more."""
    rows = snapshots.read(freeze_snapshot(project, SnapshotFilter(**wanted)).artifact.path)
    return {row["label"] for row in rows}


def given_at(label, when):
    Label.objects.filter(pk=label.pk).update(created_at=when)
    return label.pk


def test_only_the_named_kinds_people_and_prompts_with_a_tag(project):
    ana = a_user(project, Role.ANNOTATOR)
    first, second = some_tasks(project, 2)
    of_ana, other = a_label(first, annotator=ana), a_label(second)
    (liking,) = tasks_of(project, "thumbs", size=1)
    tag_prompts(project, [second.prompt_id], "maths")
    assert taken(project, kinds=("compare",)) == {of_ana.pk, other.pk}
    assert taken(project, people=(ana.pk,)) == {of_ana.pk}
    assert taken(project, tags=("maths", "none has it")) == {other.pk}
    assert liking.labels.count() == 0
    with pytest.raises(SnapshotError, match="Leave out less"):
        freeze_snapshot(project, SnapshotFilter(kinds=("thumbs",)))


def test_days_are_whole_ones_of_utc(project):
    start = datetime(2026, 5, 3, tzinfo=UTC)
    whens = [
        timedelta(microseconds=-1),
        timedelta(0),
        timedelta(hours=23, minutes=59, seconds=59.9),
    ]
    whens.append(timedelta(days=1))
    labels = [
        given_at(a_label(task), start + when)
        for task, when in zip(some_tasks(project, 4), whens, strict=True)
    ]
    assert taken(project, since=DAY, until=DAY) == set(labels[1:3])
    assert taken(project, since=DAY) == set(labels[1:])
    assert taken(project, until=DAY) == set(labels[:3])
    assert taken(project, until=date.max) == set(labels)


def test_the_agreement_is_of_the_counted_labels_of_people_alone(project):
    agreed, disputed, alone = some_tasks(project, 3, need=4)
    two = [a_label(agreed, choice).pk for choice in (2, 6)]  # who comes second sees the other side
    a_label(disputed), a_label(disputed)
    a_label(alone)
    machine = a_user(project, Role.ANNOTATOR, simulated=True)
    a_label(agreed, 6, annotator=machine)
    late = a_label(agreed, 2)
    Label.objects.filter(pk=late.pk).update(counted=False)
    assert taken(project, agreement=80) == {*two, late.pk}
    assert len(taken(project, agreement=50)) == 5


def test_two_of_three_are_two_thirds(project):
    (task,) = some_tasks(project, need=3)
    three = {a_label(task, choice).pk for choice in (2, 2, 6)}
    assert taken(project, agreement=66) == three
    with pytest.raises(SnapshotError):
        freeze_snapshot(project, SnapshotFilter(agreement=67))


def test_imported_and_late_labels_can_be_left_out(project):
    ours, foreign, late = (a_label(task) for task in some_tasks(project, 3))
    Label.objects.filter(pk=foreign.pk).update(imported=True)
    Label.objects.filter(pk=late.pk).update(counted=False)
    assert taken(project, include_imported=False) == {ours.pk, late.pk}
    assert taken(project, counted_only=True) == {ours.pk, foreign.pk}


def test_rankings_and_preferences_are_taken_in_by_tag_and_day(project):
    ranked, preferred = a_prompt(project), a_prompt(project)
    a_ranking(ranked, 0, 1)
    better, worse = a_completion(preferred), a_completion(preferred)
    Preference.objects.create(better=better, worse=worse)
    tag_prompts(project, [ranked.pk], "maths")
    assert count_wanted(project, SnapshotFilter(tags=("maths",))) == (0, 0, 2, 0)
    Preference.objects.update(created_at=datetime(2026, 5, 4, tzinfo=UTC))
    Completion.objects.update(created_at=datetime(2026, 5, 3, tzinfo=UTC))
    assert count_wanted(project, SnapshotFilter(until=DAY)) == (0, 0, 2, 0)
    assert count_wanted(project, SnapshotFilter()) == (0, 0, 2, 1)


def test_the_manifest_keeps_what_was_chosen_and_no_name(project, researcher, inside):
    ana = a_user(project, Role.ANNOTATOR, username="ana")
    a_label(some_tasks(project)[0], annotator=ana)
    wanted = SnapshotFilter(kinds=("compare",), people=(ana.pk,), since=DAY)
    snapshot = freeze_snapshot(project, wanted)
    (name,) = pseudonyms(project, [ana.pk]).values()
    assert snapshot.manifest["filter"] == {
        "include_simulated": True,
        "include_ranks": True,
        "kinds": ["compare"],
        "people": [name],
        "since": "2026-05-03",
    }
    response = inside.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(response, "Only some of the labels")
    assertContains(response, f"<dd>{name}</dd>", html=True)
    assertContains(response, "2026-05-03")


def test_the_page_counts_before_it_freezes(project, inside, url):
    ana = a_user(project, Role.ANNOTATOR, username="ana")
    for task in some_tasks(project, 3):
        a_label(task, annotator=ana)
    asked = {"count": "1", "include_simulated": "on", "people": "Ana"}
    fragment = inside.get(url, asked, headers={"HX-Request": "true"})
    assertContains(fragment, "3 labels; tasks they answer: 3.")
    assertNotContains(fragment, "<html")
    assertContains(inside.get(url, asked), "3 labels; tasks they answer: 3.")
    assert not project.snapshots.exists()
    assertContains(inside.get(url, asked | {"until": "2020-01-01"}), "take in no label")


def test_whoever_is_not_of_the_project_and_days_that_end_early_are_refused(project):
    a_user(a_project(), username="elsewhere")
    sent = {"people": "elsewhere, nobody", "since": "2026-05-03", "until": "2026-05-02"}
    form = FreezeForm(sent, project=project)
    assert set(form.errors) == {"people", "until"}
    assert "elsewhere, nobody" in form.errors["people"][0]


def test_a_form_says_what_it_wants(project, researcher):
    sent = {
        "kinds": ["compare", "rank"],
        "people": f"{researcher.username},",
        "tags": "Maths, short",
        "agreement": "80",
        "counted_only": "on",
        "include_ranks": "on",
    }
    form = FreezeForm(sent, project=project)
    assert form.is_valid()
    assert form.wanted == SnapshotFilter(
        include_simulated=False,
        include_imported=False,
        kinds=("compare", "rank"),
        people=(researcher.pk,),
        tags=("maths", "short"),
        agreement=80,
        counted_only=True,
    )
