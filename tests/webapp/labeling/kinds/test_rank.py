"""Ranking several answers: what is learned from an order, and when two people agree."""

from itertools import permutations

import pytest
from django.urls import reverse
from pydantic import ValidationError
from pytest_django.asserts import assertContains

from alignment.kinds.reward.settings import RewardConfig
from alignment.reward.labels import ranked
from alignment.rows.found import Ordered, Tied
from alignment.seam.records import Message, PromptRecord
from tests.factories import a_completion, a_prompt, a_user
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import (
    imitated_in,
    imitated_of,
    labels_of,
    pairs_of,
    read,
    records_of,
)
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.kinds.rank import KIND, Answer
from webapp.labeling.models import Completion, Label
from webapp.labeling.queue import claim
from webapp.labeling.services import ask_about

pytestmark = pytest.mark.once

PROMPT = PromptRecord(key="k", messages=(Message(role="user", content="Why?"),))
ITEMS = ("a", "b", "c", "d")


def said(ranking, items=ITEMS, who="ana"):
    return list(KIND.records(Asked(PROMPT, items, who), Answer(ranking=ranking)))


@pytest.mark.parametrize(
    ("sent", "kept"), [("b>a=c", "B>A=C"), (" C = A > B ", "A=C>B"), ("C=B=A", "A=B=C"), ("A", "A")]
)
def test_an_order_has_one_writing(sent, kept):
    assert Answer(ranking=sent).ranking == kept


@pytest.mark.parametrize("sent", ["", "A>", ">A", "A>A", "A=B>A", "AB", "A>J", "A<B", 3, None])
def test_what_is_no_order_is_no_answer(sent):
    with pytest.raises(ValidationError):
        Answer(ranking=sent)


def test_every_order_is_learned_as_the_ranking_that_it_is():
    for ranking, ranks in {"B>A=C>D": {"b": 0, "a": 1, "c": 1, "d": 2}, "D>C>B>A": None}.items():
        found = said(ranking)
        whole = [one for one in ranked(found) if one.kind == "ranking"]
        assert len(whole) == 1
        learned = dict(zip(whole[0].completions, whole[0].ranks, strict=True))
        assert learned == (ranks or {"d": 0, "c": 1, "b": 2, "a": 3})
        assert RewardConfig().rankings == "plackett_luce"  # what reads it as one label
    assert [(one.left, one.right) for one in said("B>A=C>D") if one.kind == "tie"] == [("a", "c")]


def test_all_tied_is_learned_as_ties():
    assert {one.kind for one in said("A=B=C", ITEMS[:3])} == {"tie"}
    assert len(said("A=B=C", ITEMS[:3])) == 3


def test_orders_of_two_people_stay_apart():
    groups = {one.group for who in ("ana", "ben") for one in said("A>B>C>D", who=who)}
    assert len(groups) == 2
    assert len(ranked(said("A>B>C>D") + said("A>B>C>D", who="ben"))) == 2


def test_who_means_the_same_agrees_whatever_order_they_saw():
    """Place 2 is the best, 0 and 1 are tied."""
    verdicts = set()
    for order in permutations(range(3)):
        letters = {place: "ABC"[position] for position, place in enumerate(order)}
        answer = Answer(ranking=f"{letters[2]}>{letters[1]}={letters[0]}")
        verdicts.add(KIND.verdict(answer, order))
    assert verdicts == {"2>0=1"}


def test_an_order_of_other_answers_is_refused_by_their_letters():
    with pytest.raises(ValueError, match="other answers"):
        KIND.verdict(Answer(ranking="A>B"), [0, 1, 2])
    assert "A, B, C" in KIND.objection(Answer(ranking="A>D>B"), ITEMS[:3])
    assert not KIND.objection(Answer(ranking="A>C>B"), ITEMS[:3])


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [(2, []), (3, [3]), (9, [9]), (10, [5, 5]), (19, [6, 6, 7]), (64, [8] * 8)],
)
def test_all_different_texts_are_asked_about_in_tasks_of_a_size(texts, sizes):
    answers = [Completion(prompt_id=1, text=f"{number}") for number in range(texts)]
    again = [Completion(prompt_id=1, text=f" {one.text} ") for one in answers]
    assert [len(task) for task in KIND.ask([*answers, *again])] == sizes


@pytest.fixture
def asked(project, ana, client):
    """The label page of somebody who is asked to rank three answers."""
    prompt = a_prompt(project, split="train")
    answers = [a_completion(prompt, text) for text in ("one", "two", "three")]
    assert ask_about(project, "rank", answers, need=1) == 1
    client.force_login(ana)
    held = claim(project, ana)
    return held, reverse("labeling:label", args=[project.pk])


def test_it_is_answered_without_scripts_frozen_and_shown_in_words(asked, project, client):
    held, url = asked
    sent = {"assignment": held.pk, "client_id": "0" * 32}
    refused = client.post(url, sent | {"ranking": "b>a"})
    assertContains(refused, "Give each of A, B, C its place", status_code=200)
    assertContains(refused, 'value="b&gt;a"')
    assert client.post(url, sent | {"ranking": "b>c=a"}).status_code == 302
    assert Label.objects.get().answer == {"ranking": "B>A=C"}
    best = held.shown[1].text
    artifact = freeze_snapshot(project).artifact
    assert [one.chosen for one in pairs_of(artifact, "train")] == [best, best]
    row = next(read(artifact.path)) | {"answer": '{"ranking": "B>C>A"}'}
    assert [one.completion for one in imitated_in(records_of(row))] == [best]
    assert [one.kind for one in labels_of(artifact, "train")] == ["pair", "pair", "tie"]
    assert [one.completion for one in imitated_of(artifact, "train")] == [best]
    client.force_login(a_user(project, Role.RESEARCHER))
    table = client.get(reverse("labeling:labels", args=[project.pk]))
    assertContains(table, "B &gt; A = C")
    assertContains(table, "B · place 1")


@pytest.mark.parametrize(
    ("said", "ranking"),
    [(Ordered((1, 0, 1)), "B>A=C"), (Ordered((2, 1, 0)), "C>B>A"), (Tied(), None)],
)
def test_an_order_of_a_file_is_one_of_letters(said, ranking):
    answer = KIND.imported(said)
    assert (answer.ranking if answer else None) == ranking
