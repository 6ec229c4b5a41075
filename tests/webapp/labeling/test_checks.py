"""Checks in the queue: known answers, silent repeats, a third opinion, and how much a day asks for."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_label, a_project, a_user, again, some_labels, some_tasks
from tests.webapp.labeling.acts import overdue, queries_of
from webapp.accounts.roles import Role
from webapp.labeling import checks, queue
from webapp.labeling.checks import end_gold, heard_of, make_gold
from webapp.labeling.models import Assignment, Gold, Task
from webapp.labeling.services import expire_leases, skip, submit_label, undo
from webapp.people.services import remove_member

pytestmark = pytest.mark.django_db
STATE = Assignment.State
KNOWN = {"answer": {"choice": 1}, "order": [0, 1], "verdict": "0>1"}


def with_settings(project, **columns):
    """The project as it is once these are set."""
    type(project).objects.filter(pk=project.pk).update(**columns)
    return again(project)


def answer(assignment, choice=2):
    return submit_label(assignment, client_id=uuid4(), answer={"choice": choice})


def counts(task):
    task = again(task)
    return task.need, task.taken, task.done


@pytest.fixture
def gold(project, researcher):
    """A check that is answered already, in a project where each card is one."""
    (task,) = some_tasks(project, texts=("Right.", "Wrong."))
    some_labels([task])
    make_gold(task, KNOWN, by=researcher, explanation="Because.")
    with_settings(project, gold_every=1)
    return again(task)


def test_a_check_comes_to_everybody_once_however_many_labels_it_needs(project, gold, ana, ben):
    some_tasks(project, 1, need=3)
    for person in (ana, ben):
        first, second = queue.claim_page(again(project), person)
        assert (first.task_id, second.task_id == gold.pk) == (gold.pk, False)
        answer(first)
    assert counts(gold) == (3, 3, 3)


def test_without_checks_wanted_none_comes(project, gold, ana):
    assert queue.claim_page(with_settings(project, gold_every=0), ana) == []


def test_a_check_takes_a_place_that_is_free_before_it_adds_one(project, researcher, ana):
    (task,) = some_tasks(project, need=2)
    make_gold(task, KNOWN, by=researcher)
    queue.claim(with_settings(project, gold_every=1), ana)
    assert counts(task) == (2, 1, 0)


def test_another_projects_check_is_not_given(gold, ana):
    other = with_settings(a_project(), gold_every=1)
    assert queue.claim_page(other, ana) == []


def test_an_expired_check_waits_for_its_person(project, gold, ana, ben):
    mine = queue.claim(again(project), ana)
    overdue(mine)
    assert expire_leases() == 1
    assert again(mine).state == STATE.RESERVED
    assert counts(gold) == (2, 2, 1)
    with_settings(project, gold_every=0)
    assert queue.claim(again(project), ben) is None
    assert queue.claim(again(project), ana) == mine
    assert counts(gold) == (2, 2, 1)


def test_a_late_answer_to_what_waits_counts(project, gold, ana):
    mine = queue.claim(again(project), ana)
    overdue(mine)
    expire_leases()
    assert answer(again(mine)).counted
    assert counts(gold) == (2, 2, 2)


def test_skipped_a_check_gives_its_place_back(project, gold, ana):
    skip(queue.claim(again(project), ana))
    assert counts(gold) == (2, 1, 1)


def test_who_leaves_the_project_keeps_no_place(project, gold, ana, ben):
    mine = queue.claim(again(project), ana)
    overdue(mine)
    expire_leases()
    remove_member(project.memberships.get(user=ana))
    assert again(mine).state == STATE.EXPIRED
    assert counts(gold) == (2, 1, 1)


@pytest.mark.parametrize(("slot", "expected"), [(0, "A: chosen"), (1, "B: chosen")])
def test_who_is_wrong_hears_what_was_expected_in_their_own_letters(
    project, gold, ana, slot, expected
):
    Task.objects.filter(pk=gold.pk).update(flip=(slot - 1) % 2)  # the first slot is taken
    label = answer(queue.claim(again(project), ana), choice=4)
    assert heard_of(label) == (False, expected, "Because.")


def test_what_is_no_check_tells_nothing(project, ana):
    some_tasks(project)
    assert heard_of(answer(queue.claim(project, ana))) is None


def test_a_known_answer_can_be_known_better_and_ends(gold, researcher, ana):
    make_gold(gold, KNOWN | {"verdict": "1>0"}, by=ana)
    known = Gold.objects.get()
    assert (known.verdict, known.explanation, known.by) == ("1>0", "Because.", researcher)
    assert end_gold(gold)
    assert not end_gold(gold)


def test_the_page_says_at_once_whether_a_check_was_right(client, project, gold, ana):
    client.force_login(ana)
    page = reverse("labeling:label", args=[project.pk])
    client.get(page, headers={"HX-Request": "true"})
    mine = Assignment.objects.get(annotator=ana)
    form = {"assignment": mine.pk, "client_id": uuid4(), "choice": 4}
    response = client.post(page, form, headers={"HX-Request": "true"})
    assertContains(response, "That was a check. Expected was:")
    assertContains(response, "Because.")


@pytest.fixture
def answered(project, ana, monkeypatch):
    """Three tasks that Ana has answered, one after another; a repeat may follow two later ones."""
    monkeypatch.setattr(checks, "GAP", 2)
    tasks = some_tasks(project, 3)
    labels = [a_label(task, annotator=ana) for task in tasks]
    with_settings(project, repeat_every=1)
    return labels


def test_a_repeat_asks_the_same_the_other_way_round_and_only_once(project, answered, ana):
    mine = queue.claim(again(project), ana)
    first = answered[0]
    assert mine.task.repeat_of == first.task
    assert mine.order == first.order[::-1]
    assert mine.shown == first.shown[::-1]
    answer(mine)
    assert queue.claim(again(project), ana).task.repeat_of == answered[1].task


def test_what_lies_too_near_is_not_repeated(project, answered, ana, monkeypatch):
    monkeypatch.setattr(checks, "GAP", 3)
    assert queue.claim(again(project), ana) is None


def test_nobody_repeats_for_somebody_else(project, answered, ana, ben):
    overdue(queue.claim(again(project), ana))
    assert queue.claim(again(project), ben) is None
    skip(queue.claim(again(project), ana))
    assert queue.claim(again(project), ben) is None


@pytest.fixture
def two(project):
    """A task that asks two people, and a third where they differ."""
    with_settings(project, third_if_two_differ=True)
    return some_tasks(project, need=2)[0]


def test_a_third_is_asked_only_where_two_differ(project, two, ana, ben):
    (agreed,) = some_tasks(project, need=2)
    first = a_label(two, 2, annotator=ana)
    assert counts(two) == (2, 1, 1)
    second = a_label(two, 2, annotator=ben)  # they see other sides
    assert first.verdict != second.verdict
    assert counts(two) == (3, 2, 2)
    for person, choice in ((ana, 2), (ben, 6)):
        a_label(agreed, choice, annotator=person)
    assert counts(agreed) == (2, 2, 2)
    assert queue.claim(again(project), a_user(project, Role.ANNOTATOR)).task == two


def test_taken_back_no_third_is_asked_any_more(two, ana, ben):
    a_label(two, 2, annotator=ana)
    label = a_label(two, 2, annotator=ben)
    undo(ben, label.client_id)
    assert counts(two) == (2, 2, 1)
    answer(label.assignment, 6)
    assert counts(two) == (2, 2, 2)


def test_a_third_who_is_at_it_is_not_sent_away(project, two, ana, ben):
    a_label(two, 2, annotator=ana)
    label = a_label(two, 2, annotator=ben)
    queue.claim(again(project), a_user(project, Role.ANNOTATOR))
    answer(label.assignment, 6)  # a revision: they agree now
    assert counts(two) == (3, 3, 2)


def test_where_nobody_wants_it_two_may_differ(project, two, ana, ben):
    with_settings(project, third_if_two_differ=False)
    for person in (ana, ben):
        a_label(two, 2, annotator=person)
    assert counts(two) == (2, 2, 2)


def test_nobody_gets_more_on_a_day_than_the_quota(project, ana, ben):
    some_tasks(project, 8, need=2)
    project = with_settings(project, daily_quota=3)
    cards = queue.claim_page(project, ana)
    assert len(cards) == 3
    for card in cards:
        answer(card)
        queue.claim_page(project, ana)
    assert queue.claim_page(project, ana) == []
    assert len(queue.claim_page(project, ben)) == 3


def test_what_is_checked_costs_the_queue_nothing_where_it_is_off(project, ana):
    """One query more, for who holds nothing, looks whether a place waits for them."""
    some_tasks(project, 9)
    queue.claim_page(project, ana)
    answer(Assignment.objects.filter(annotator=ana).first())
    assert queries_of(lambda: queue.claim_page(project, ana)) <= 8
