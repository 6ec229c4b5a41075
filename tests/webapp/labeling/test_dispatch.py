"""What researchers do with tasks: asked again, of more, of nobody, of somebody; answers sent back."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_label, a_project, a_user, again, some_tasks
from tests.webapp.labeling.acts import overdue
from webapp.accounts.roles import Role
from webapp.labeling import dispatch, queue
from webapp.labeling.models import Assignment, Task
from webapp.labeling.services import LabelingError, expire_leases, skip, submit_label, undo

pytestmark = pytest.mark.django_db
STATE = Assignment.State


def counts(task):
    task = again(task)
    return task.need, task.taken, task.done, task.skips


@pytest.fixture
def task(project):
    return some_tasks(project)[0]


@pytest.fixture
def skipped(project, task):
    """A task that three people have skipped."""
    for _ in range(3):
        skip(queue.claim(project, a_user(project, Role.ANNOTATOR)), "unclear")
    return task


@pytest.mark.once
def test_what_three_people_skipped_is_handed_out_again_to_them_too(project, skipped, ana):
    assert queue.claim(project, ana) is None
    assert dispatch.ask_again(project, [skipped.pk]) == 1
    assert counts(skipped) == (1, 0, 0, 0)
    assert queue.claim(project, skipped.assignments.first().annotator).task == skipped


@pytest.mark.once
def test_more_people_are_asked_of_tasks_that_are_done(project, task, ana):
    a_label(task)
    assert dispatch.ask_more(project, [task.pk], 3) == 1
    assert dispatch.ask_more(project, [task.pk], 2) == 0
    assert counts(task) == (3, 1, 1, 0)
    assert queue.claim(project, ana).task == task


@pytest.mark.once
def test_nobody_more_is_asked_and_who_is_at_it_may_answer(project, ana, ben):
    (task,) = some_tasks(project, need=3)
    mine = queue.claim(project, ana)
    assert dispatch.ask_nobody(project, [task.pk]) == 1
    assert queue.claim(project, ben) is None
    assert submit_label(mine, client_id=uuid4(), answer={"choice": 1}).counted
    assert counts(task) == (1, 1, 1, 0)


def test_a_place_is_kept_for_somebody_and_for_nobody_else(project, task, ana, ben):
    assert dispatch.ask_person(project, [task.pk], ana) == 1
    assert counts(task) == (1, 1, 0, 0)
    assert queue.claim(project, ben) is None
    mine = queue.claim(project, ana)
    overdue(mine)
    expire_leases()
    assert queue.claim(project, ben) is None
    assert queue.claim(project, ana) == mine
    assert submit_label(mine, client_id=uuid4(), answer={"choice": 1}).counted
    assert counts(task) == (1, 1, 1, 0)


def test_what_is_kept_comes_first_and_in_order(project, ana):
    tasks = some_tasks(project, 6)
    for each in (tasks[4], tasks[2]):
        dispatch.ask_person(project, [each.pk], ana)
    cards = queue.claim_page(project, ana)
    assert [card.task for card in cards[:2]] == [tasks[4], tasks[2]]
    assert len(cards) == queue.CARDS


def test_what_is_kept_in_another_project_does_not_come(project, ana):
    other = a_project()
    other.memberships.create(user=ana, role=Role.ANNOTATOR)
    dispatch.ask_person(other, [some_tasks(other)[0].pk], ana)
    assert queue.claim(project, ana) is None
    assert queue.claim(other, ana)


def test_of_a_full_task_somebody_is_asked_besides(project, task, ana):
    a_label(task)
    dispatch.ask_person(project, [task.pk], ana)
    assert counts(task) == (2, 2, 1, 0)


def test_who_skipped_a_task_can_be_asked_by_name(project, skipped):
    person = skipped.assignments.first().annotator
    assert dispatch.ask_person(project, [skipped.pk], person) == 1
    assert counts(skipped) == (1, 1, 0, 2)
    assert queue.claim(project, person).task == skipped


@pytest.mark.once
def test_who_answered_or_is_at_it_is_left_out_and_strangers_are_refused(project, task, ana):
    queue.claim(project, ana)
    assert dispatch.ask_person(project, [task.pk], ana) == 0
    with pytest.raises(LabelingError, match="not in this project"):
        dispatch.ask_person(project, [task.pk], a_user())


@pytest.mark.once
def test_tasks_of_another_project_are_not_touched(project, ana):
    (foreign,) = some_tasks(a_project())
    for act in (dispatch.ask_again, dispatch.ask_nobody):
        assert act(project, [foreign.pk]) == 0
    assert dispatch.ask_more(project, [foreign.pk], 5) == 0
    assert dispatch.ask_person(project, [foreign.pk], ana) == 0
    assert counts(foreign) == (1, 0, 0, 0)


@pytest.mark.once
def test_an_answer_goes_back_to_who_gave_it_with_a_word(project, task, ana, ben):
    label = a_label(task, 1, annotator=ana, rationale="Mine.")
    dispatch.send_back(label, "Look again.")
    assert again(label).retracted
    assert counts(task) == (1, 1, 0, 0)
    assert queue.claim(project, ben) is None
    mine = queue.claim(project, ana)
    assert (mine.note, mine.draft["rationale"]) == ("Look again.", "Mine.")
    assert submit_label(mine, client_id=uuid4(), answer={"choice": 7}).counted
    assert again(mine).note == ""
    with pytest.raises(LabelingError, match="taken back or replaced"):
        dispatch.send_back(label, "")


@pytest.mark.once
def test_an_extra_answer_that_goes_back_counts_then(project, task, ana):
    a_label(task)
    late = Assignment.objects.create(
        task=task, annotator=ana, slot=1, state=STATE.EXPIRED, lease_until=again(task).created_at
    )
    label = submit_label(late, client_id=uuid4(), answer={"choice": 1})
    assert not label.counted
    dispatch.send_back(label, "")
    assert counts(task) == (2, 2, 1, 0)


def test_what_went_back_cannot_be_undone_besides(project, task, ana):
    label = a_label(task, annotator=ana)
    dispatch.send_back(label, "")
    assert undo(ana, label.client_id) is None
    assert counts(task) == (1, 1, 0, 0)


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.mark.once
@pytest.mark.parametrize(
    ("act", "left"), [("again", (1, 0, 0, 0)), ("more", (4, 0, 0, 3)), ("nobody", (0, 0, 0, 3))]
)
def test_chosen_tasks_change_by_the_form_below_their_table(rita, project, skipped, act, left):
    url = reverse("labeling:dispatch", args=[project.pk])
    sent = {"act": act, "task": [skipped.pk, "nonsense"], "need": 4}
    assertContains(rita.post(url, sent, follow=True), "1 task changed")
    assert counts(skipped) == left


def test_a_place_is_kept_by_the_form(rita, project, task, ana):
    url = reverse("labeling:dispatch", args=[project.pk])
    rita.post(url, {"act": "person", "task": task.pk, "person": ana.pk})
    assert Assignment.objects.get().annotator == ana


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"act": "again"}, "Choose tasks"),
        ({"act": "more", "task": 1}, "Say how many, or who"),
        ({"act": "person", "task": 1}, "Say how many, or who"),
        ({"act": "more", "task": 1, "need": 10**6}, "less than or equal to 20"),
        ({"act": "other", "task": 1}, "other is not one of the available choices"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_changes(rita, project, task, sent, words):
    url = reverse("labeling:dispatch", args=[project.pk])
    before = list(Task.objects.values())
    assertContains(rita.post(url, sent, follow=True), words)
    assert list(Task.objects.values()) == before


@pytest.mark.once
def test_an_answer_is_sent_back_from_the_page_of_its_task_and_its_person_reads_why(
    client, rita, project, task, ana
):
    label = a_label(task, annotator=ana)
    url = reverse("quality:send_back", args=[project.pk, task.pk])
    answer = rita.post(url, {"back": label.pk, "rationale": "Read both."}, follow=True)
    assertContains(answer, "is asked again")
    gone = rita.post(url, {"back": label.pk}, follow=True)
    assertContains(gone, "nothing was sent back")
    client.force_login(ana)
    assertContains(client.get(reverse("labeling:label", args=[project.pk])), "Read both.")
