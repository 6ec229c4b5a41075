"""Comparing two answers: what is learned from a choice, and when two people agree."""

from collections import Counter

import pytest
from django.contrib.staticfiles import finders
from pydantic import ValidationError

from alignment.seam.records import Message, PromptRecord
from webapp.labeling.kinds.compare import KIND, Answer, Choice
from webapp.labeling.kinds.descriptor import Asked
from webapp.labeling.models import Completion

PROMPT = PromptRecord(key="k", messages=(Message(role="user", content="Why?"),))
ASKED = Asked(PROMPT, ("left", "right"), "ana")
MIRRORED = {choice: (8 - choice) if choice else choice for choice in Choice}


def record(choice):
    (only,) = KIND.records(ASKED, Answer(choice=choice))
    assert (only.prompt, only.annotator) == (PROMPT, "ana")
    return only


def test_every_preference_is_a_pair_with_its_strength_and_side():
    found = {
        choice: (one.chosen, one.rejected, one.strength, one.left_won)
        for choice in Choice
        if (one := record(choice)).kind == "pair"
    }
    left, right = ("left", "right"), ("right", "left")
    assert found == {
        1: (*left, 3, True),
        2: (*left, 2, True),
        3: (*left, 1, True),
        5: (*right, 1, False),
        6: (*right, 2, False),
        7: (*right, 3, False),
    }


def test_no_preference_is_a_tie_that_says_whether_both_are_bad():
    ties = {choice: one.both_bad for choice in Choice if (one := record(choice)).kind == "tie"}
    assert ties == {Choice.TIE: False, Choice.BOTH_BAD: True}
    assert (record(Choice.TIE).left, record(Choice.TIE).right) == ("left", "right")


@pytest.mark.parametrize("choice", Choice)
def test_whoever_saw_the_other_side_first_and_means_the_same_agrees(choice):
    mirrored = Answer(choice=MIRRORED[choice])
    assert KIND.verdict(Answer(choice=choice), [0, 1]) == KIND.verdict(mirrored, [1, 0])


def test_verdicts_tell_who_won_and_not_by_how_much():
    verdicts = Counter(KIND.verdict(Answer(choice=choice), [0, 1]) for choice in Choice)
    assert verdicts == {"0>1": 3, "1>0": 3, "0=1": 1, "both bad": 1}


def test_pairs_are_disjoint_and_of_different_texts():
    answers = [Completion(prompt_id=1, text=text) for text in ["a", "a", "b", "c", "c"]]
    assert [(one.text, other.text) for one, other in KIND.ask(answers)] == [("a", "b")]


def test_words_mark_the_answer_that_was_chosen():
    words = KIND.words(Answer(choice=Choice.RIGHT_MUCH))
    assert (words.text, words.degree, words.marks) == ("B much better", "3 of 3", {1: "chosen"})
    assert KIND.words(Answer(choice=Choice.TIE)).marks == {}


@pytest.mark.parametrize("sent", ["", "8", -1, 2.5, None, "two", [2]])
def test_what_is_not_on_the_scale_is_no_answer(sent):
    with pytest.raises(ValidationError):
        Answer(choice=sent)


def test_a_preference_of_a_file_is_a_choice():
    assert Choice.of(left_won=True, strength=3) == Choice.LEFT_MUCH
    assert Choice.of(left_won=False, strength=1) == Choice.RIGHT_SLIGHTLY


def test_of_its_folder_only_the_script_is_served():
    assert finders.find("kinds/compare/card.js") == str(KIND.folder / "card.js")
    for name in ("kinds/compare/kind.py", "kinds/compare/answer.py", "kinds/compare/../files.py"):
        assert finders.find(name) is None
    found = [name for finder in finders.get_finders() for name, _ in finder.list(None)]
    assert "card.js" in found
    assert not [name for name in found if name.endswith(".py")]
