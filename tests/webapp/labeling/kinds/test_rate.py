"""Marks for answers: what is read of them, what is learned from them, and when two people agree."""

import pytest
from pydantic import ValidationError

from alignment.reward.labels import ranked
from alignment.rows.found import Graded, Thumbed
from alignment.seam.records import Message, PromptRecord, RankingRecord, RatingRecord, TieRecord
from webapp.labeling.composition import Attribute, Composition
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.kinds.rate import KIND, Answer
from webapp.labeling.models import Completion

pytestmark = pytest.mark.once

PROMPT = PromptRecord(key="k", messages=(Message(role="user", content="Why?"),))
HELPFUL = Composition(attributes=[Attribute(name="helpful: really", levels=5)])


def rated(*qualities):
    return Answer(
        marks=[f"{'ABCD'[place]}:quality:{mark}/7" for place, mark in enumerate(qualities)]
    )


def learned(*qualities):
    texts = tuple("abcd"[: len(qualities)])
    return list(KIND.records(Asked(PROMPT, texts, "ana"), rated(*qualities)))


def test_a_single_mark_is_a_rating():
    assert learned(6) == [
        RatingRecord(prompt=PROMPT, completion="a", rating=6, levels=7, annotator="ana")
    ]


@pytest.mark.parametrize(("marks", "strength"), [((6, 5), 1), ((6, 4), 2), ((7, 1), 3)])
def test_of_two_the_better_is_preferred_by_as_much_as_it_is_better(marks, strength):
    for first, second in (marks, marks[::-1]):
        (pair,) = learned(first, second)
        assert (pair.chosen, pair.rejected) == (("a", "b") if first > second else ("b", "a"))
        assert (pair.strength, pair.left_won, pair.group) == (strength, first > second, "")


def test_equal_marks_are_a_tie():
    assert learned(3, 3) == [TieRecord(prompt=PROMPT, left="a", right="b", annotator="ana")]


def test_of_several_a_reward_model_learns_a_ranking_and_the_ties():
    found = ranked(learned(2, 7, 2, 5))
    (tie,) = [one for one in found if isinstance(one, TieRecord)]
    (order,) = [one for one in found if isinstance(one, RankingRecord)]
    assert (tie.left, tie.right) == ("a", "c")
    assert dict(zip(order.completions, order.ranks, strict=True)) == {
        "b": 0,
        "d": 1,
        "a": 2,
        "c": 2,
    }


def test_whoever_saw_another_order_and_means_the_same_agrees():
    assert (
        KIND.verdict(rated(2, 7, 5), [0, 1, 2])
        == KIND.verdict(rated(7, 5, 2), [1, 2, 0])
        == "2 7 5"
    )


def test_marks_of_other_items_than_those_shown_have_no_verdict():
    with pytest.raises(ValueError, match="shorter"):
        KIND.verdict(rated(2), [0, 1])


def test_marks_are_read_without_their_form():
    answer = Answer(
        marks=["B:quality:2/7", "A:helpful: really:3/5", "A:quality:6/7", "B:helpful: really:5/5"]
    )
    words = KIND.words(answer)
    assert (words.text, words.degree) == ("rated 6 · 2", "of 7")
    assert words.marks == {
        0: "helpful: really 3/5, Quality 6/7",
        1: "Quality 2/7, helpful: really 5/5",
    }
    assert KIND.is_answer(answer, HELPFUL, 2)


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        (rated(3), 1),
        (Answer(marks=["A:quality:6/7", "A:helpful: really:3/7"]), 1),
        (rated(3, 4), 1),
    ],
)
def test_only_the_marks_that_the_form_asks_for_fit_it(answer, items):
    assert not KIND.is_answer(answer, HELPFUL, items)


@pytest.mark.parametrize(
    "marks",
    [
        [],
        ["A:quality:8/7"],
        ["A:quality:0/7"],
        ["A:quality:1/1"],
        ["A:quality:3/101"],
        ["A:quality:03/7"],
        ["E:quality:3/7"],
        ["B:quality:3/7"],
        ["A:helpful:3/7"],
        ["A:quality:3/7", "A:quality:4/7"],
        ["A:quality:3/7", "B:quality:3/7", "A:helpful:1/2"],
        ["A:quality:3/7", "A:a\nb:1/2"],
        ["quality"],
        [3],
        "A:quality:3/7" * 9,
    ],
)
def test_what_is_incomplete_or_beyond_a_scale_is_no_answer(marks):
    with pytest.raises(ValidationError):
        Answer(marks=marks)


def test_a_mark_of_a_file_keeps_its_scale():
    said = Graded(mark=4, highest=4, lowest=0, attributes=(("verbosity", 0),))
    answer = KIND.imported(said)
    assert answer.marks == ["A:quality:5/5", "A:verbosity:1/5"]
    (record,) = KIND.records(Asked(PROMPT, ("a",), "ana"), answer)
    assert (record.rating, record.levels) == (5, 5)
    assert KIND.words(answer).degree == "of 5"
    assert not KIND.is_answer(answer, Composition(), 1)  # nobody is asked so here
    for other in (Thumbed(good=True), Graded(mark=9, highest=5), Graded(mark=1, highest=900)):
        assert KIND.imported(other) is None


def test_different_texts_are_asked_about_four_at_a_time():
    answers = [Completion(prompt_id=1, text=text) for text in "abcadeb"]
    assert [[one.text for one in items] for items in KIND.ask(answers)] == [
        ["a", "b", "c", "d"],
        ["e"],
    ]


def test_keys_go_as_far_as_the_longest_scale():
    assert len(KIND.composed_keys(Composition())) == 7
    longest = Composition(attributes=[Attribute(name="tone", levels=9)])
    assert [key.usual for key in KIND.composed_keys(longest)] == list("123456789")
