"""A kind of task from one folder: queued, labelled, frozen, and shown in every table."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_completion, a_label, a_prompt, a_user, again, some_tasks
from tests.toys.adding import add_kind
from tests.toys.tasks.best.kind import KIND
from tests.words import WORDS
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import labels_of
from webapp.labeling import queue
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import KindError, TaskKind
from webapp.labeling.models import Label, Task
from webapp.labeling.services import ask_about, submit_label, undo_label

pytestmark = pytest.mark.once

__all__ = ["add_kind"]  # a fixture
JSON = {"Accept": "application/json"}


@pytest.fixture
def best(add_kind):
    return add_kind(KIND)


def threes(project, number, *, need=1):
    """Tasks that each ask about three new answers of one known word."""
    prompts = [a_prompt(project, f"{word} day", split="train") for word in WORDS[:number]]
    words = [
        a_completion(prompt, WORDS[(3 * place + step) % len(WORDS)])
        for place, prompt in enumerate(prompts)
        for step in range(3)
    ]
    assert ask_about(project, "best", words, need=need) == number
    return list(Task.objects.filter(kind="best").order_by("pk"))


def given(task, best, annotator=None):
    """An answer to the task by somebody who claims it."""
    annotator = annotator or a_user(task.project, Role.ANNOTATOR)
    held = queue.claim(task.project, annotator)
    return submit_label(held, client_id=uuid4(), answer={"best": best})


@pytest.mark.parametrize("field", [n for n, f in TaskKind.model_fields.items() if f.is_required()])
def test_a_descriptor_without_a_field_is_refused_by_its_name(field):
    fields = {name: getattr(KIND, name) for name in TaskKind.model_fields if name != field}
    with pytest.raises(KindError, match=f"its {field} is missing") as refused:
        TaskKind(**fields)
    assert refused.value.field == field
    assert refused.value.kind == ("?" if field == "folder" else "best")


def test_every_person_sees_another_one_first(best, project):
    (task,) = threes(project, 1, need=3)
    firsts = [given(task, "1").order for _ in range(3)]
    assert sorted(order[0] for order in firsts) == [0, 1, 2]
    assert all(sorted(order) == [0, 1, 2] for order in firsts)


def test_who_means_the_same_agrees_whatever_they_saw(best, project):
    same, apart = threes(project, 2, need=2)
    for _ in range(4):
        held = queue.claim(project, a_user(project, Role.ANNOTATOR))
        place = 0 if held.task == same else held.slot
        answer = {"best": str(held.order.index(place) + 1)}
        submit_label(held, client_id=uuid4(), answer=answer)
    assert set(Label.objects.disagreeing().values_list("task", flat=True)) == {apart.pk}


@pytest.mark.twice
def test_an_undone_one_comes_back_in_the_order_it_was_seen(best, project):
    (task,) = threes(project, 1, need=3)
    person = a_user(project, Role.ANNOTATOR)
    label = given(task, "2", person)
    given(task, "1")
    back = undo_label(person, label.client_id)
    assert again(back).order == label.order


def test_tables_and_snapshots_say_it_in_its_words(best, project, client):
    (task,) = threes(project, 1)
    label = given(task, "3")
    a_label(some_tasks(project)[0], 4)
    client.force_login(a_user(project, Role.RESEARCHER))
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, "C is the best")
    assertContains(table, "C · the best")
    snapshot = freeze_snapshot(project)
    page = client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(page, "Best of three")
    assertContains(page, label.shown[2].text)
    assert snapshot.manifest["answers"]["best"] == {'{"best":"3"}': 1}
    assert (snapshot.labels, snapshot.pairs) == (2, 2)


@pytest.mark.twice
@pytest.mark.parametrize("page", ["labels", "tasks"])
def test_tables_list_one_kind_where_there_are_several(best, project, client, page):
    given(threes(project, 1)[0], "1")
    a_label(some_tasks(project)[0], 4)
    client.force_login(a_user(project, Role.RESEARCHER))
    url = reverse(f"labeling:{page}", args=[project.pk])
    of = {kind: list(client.get(url, {"kind": kind}).context["page"]) for kind in ("best", "")}
    assert (len(of["best"]), len(of[""])) == (1, 2)
    assert of["best"][0].asks == KIND


def test_tables_ask_for_no_kind_where_there_is_one(project, client, monkeypatch):
    for name in list(TASK_KINDS)[1:]:
        monkeypatch.delitem(TASK_KINDS, name)
    some_tasks(project)
    client.force_login(a_user(project, Role.RESEARCHER))
    assertNotContains(client.get(reverse("labeling:tasks", args=[project.pk])), 'name="kind"')


def test_a_program_reads_all_three_and_answers(best, project, client, ana):
    threes(project, 1)
    url = reverse("labeling:label", args=[project.pk])
    client.force_login(ana)
    card = client.get(url, headers=JSON).json()
    assert (card["kind"], len(card["items"])) == ("best", 3)
    sent = {"assignment": card["assignment"], "client_id": uuid4()}
    assert client.post(url, sent | {"best": "4"}, headers=JSON).status_code == 409
    assert client.post(url, sent | {"choice": "1"}, headers=JSON).status_code == 409
    assert client.post(url, sent | {"best": "2"}, headers=JSON).status_code == 200
    assert Label.objects.get().answer == {"best": "2"}


def test_keys_that_two_kinds_share_say_both(best, project, client, ana):
    client.force_login(ana)
    page = client.get(reverse("labeling:keys", args=[project.pk]))
    assertContains(page, "A is much better · ")
    assertContains(page, " · A is the best")


def test_without_it_its_snapshots_are_refused_in_words(add_kind, project):
    add_kind(KIND)
    (task,) = threes(project, 1)
    given(task, "1")
    artifact = freeze_snapshot(project).artifact
    kind = TASK_KINDS.pop("best")
    with pytest.raises(Exception, match="no kind of task “best”"):
        list(labels_of(artifact, "train"))
    TASK_KINDS["best"] = kind


def test_before_it_is_there_nothing_of_it_is_shown(project, client, ana):
    client.force_login(ana)
    assertNotContains(client.get(reverse("labeling:label", args=[project.pk])), "Best of three")
