"""Written answers that other people judge: nothing learns from one before enough of them have accepted it."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from alignment.rows.found import Found
from alignment.rows.labelled import UNACCEPTED
from alignment.rows.labelled import read as read_labels
from tests.factories import a_prompt, a_user, again
from tests.webapp.datasets.told import rows_told
from webapp.accounts.roles import Role
from webapp.datasets.exports.holdings import held
from webapp.datasets.exports.raw_labels import FORMAT as RAW
from webapp.datasets.exports.trl_completion_plain import FORMAT as COMPLETIONS
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import imitated_of, read
from webapp.labeling.making import TasksWanted, make_tasks
from webapp.labeling.models import Label, Task
from webapp.labeling.queue import claim
from webapp.labeling.services import Ask, create_tasks, submit_label, undo_label
from webapp.labeling.written_reviews import WrittenReview
from webapp.projects.services import set_reviews
from webapp.quality.adjudication import Decision, adjudicate, take_decision_back

pytestmark = pytest.mark.once

ACCEPT = {"decision": "accept"}
REJECT = {"decision": "reject", "reason": "It is rude."}


@pytest.fixture
def asked(project, ana):
    """What ana is to write, which two of three must accept."""
    set_reviews(project, answer_reviews=3, answer_accepts=2)
    create_tasks(project, "demonstrate", [Ask(a_prompt(project, split="train").pk)], need=1)
    return claim(project, ana)


def write(asked, text="Gladly."):
    return submit_label(asked, client_id=uuid4(), answer={"text": text})


def judged(project, answer):
    card = claim(project, a_user(project, Role.ANNOTATOR))
    return submit_label(card, client_id=uuid4(), answer=answer)


def imitated(project):
    """What a new snapshot says of the answer, and what of it is learnt from."""
    snapshot = freeze_snapshot(project)
    (row,) = [one for one in read(snapshot.artifact.path) if one["kind"] == "demonstrate"]
    texts = [one.completion for one in imitated_of(snapshot.artifact, "train")]
    assert [row["completion"] for row in rows_told(snapshot, COMPLETIONS)] == texts
    assert snapshot.written_in("train") == len(texts)
    assert held(snapshot.artifact.path)["unaccepted"] == (row["standing"] != "accepted")
    return row["standing"], texts, snapshot


@pytest.mark.parametrize(
    ("answers", "standing"),
    [
        ([], "waiting"),
        ([ACCEPT, REJECT], "waiting"),
        ([ACCEPT, ACCEPT], "accepted"),
        ([REJECT, REJECT], "rejected"),
    ],
)
def test_nothing_learns_from_it_before_enough_have_accepted_it(project, asked, answers, standing):
    write(asked)
    for answer in answers:
        judged(project, answer)
    accepted = standing == "accepted"
    assert imitated(project)[:2] == (standing, ["Gladly."] * accepted)
    assert make_tasks(project, TasksWanted("thumbs", most=9)).new == accepted


@pytest.mark.twice
def test_without_reviews_it_is_used_at_once(project, asked):
    set_reviews(project, answer_reviews=0)
    write(again(asked))
    assert imitated(project)[:2] == ("accepted", ["Gladly."])
    assert not WrittenReview.objects.exists()


def test_its_author_is_not_asked_and_others_see_the_prompt_and_the_answer(
    project, asked, ana, client
):
    write(asked, "<b>Gladly</b>.")
    assert claim(project, ana) is None
    client.force_login(a_user(project, Role.ANNOTATOR))
    page = client.get(reverse("labeling:label", args=[project.pk]))
    assertContains(page, asked.task.prompt.text)
    assertContains(page, "&lt;b&gt;Gladly")
    assertContains(page, "Should models learn from it?")


def test_an_answer_that_is_written_anew_is_judged_anew_and_the_one_before_no_more(project, asked):
    write(asked)
    first = judged(project, ACCEPT).task
    write(again(asked), "Gladly, at once.")
    assert (again(first).need, again(first).taken) == (1, 1)
    second = Task.objects.exclude(pk=first.pk).get(kind="review")
    assert [one.text for one in second.completions] == ["Gladly, at once."]
    write(again(asked))  # as it was at first
    assert (again(first).need, again(second).need) == (3, 0)
    judged(project, ACCEPT)
    assert imitated(project)[:2] == ("accepted", ["Gladly."])


def test_who_takes_their_answer_back_has_nobody_asked_about_it(project, asked):
    label = write(asked)
    undo_label(label.annotator, label.client_id)
    assert claim(project, a_user(project, Role.ANNOTATOR)) is None


@pytest.mark.twice
def test_a_decision_about_a_review_speaks_for_the_reviewers_until_it_is_taken_back(
    project, asked, researcher
):
    label = write(asked)
    task = judged(project, REJECT).task
    judged(project, REJECT)
    adjudicate(task, Decision.by_place(task, ACCEPT), by=researcher, key=uuid4())
    assert again(label.review).standing == "accepted"
    judged(project, REJECT)
    assert again(label.review).standing == "accepted"
    assert imitated(project)[1] == ["Gladly."]
    take_decision_back(task, by=researcher)
    assert again(label.review).standing == "rejected"


def test_the_tables_say_which_wait(project, asked, client, researcher):
    write(asked)
    client.force_login(researcher)
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, "waits for a review</span>")
    snapshot = imitated(project)[2]
    page = client.get(reverse("datasets:snapshot", args=[project.pk, snapshot.pk]))
    assertContains(page, "Of the written answers 1 wait for their reviewers and 0 were rejected")


def test_what_a_file_brought_is_judged_by_nobody(project, asked):
    write(asked)
    Label.objects.update(imported=True)
    WrittenReview.objects.all().delete()
    write(again(asked), "Another.")
    assert WrittenReview.objects.count() == 1  # of the new answer alone


def test_an_export_of_all_labels_says_so_and_no_import_takes_it(project, asked):
    write(asked)
    snapshot = imitated(project)[2]
    (row,) = rows_told(snapshot, RAW)
    assert (row["standing"], row["says"]) == ("waiting", [])
    found = Found()
    assert "standing" in read_labels(row, found)
    assert not found.prompts[0].labels
    assert found.left_out == {UNACCEPTED: 1}
