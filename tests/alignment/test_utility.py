from itertools import pairwise
from statistics import stdev

import pytest

from alignment.world import grammar
from alignment.world.utility import SimulatedAnnotator, utility

PROMPT = "How do I bake bread?"


@pytest.fixture(scope="module")
def answers():
    documents = grammar.documents(7, 1_000)
    return [(messages[0].content, answer) for messages, answer in documents]


@pytest.fixture(scope="module")
def pairs(answers):
    """A prompt with its own answer and one that was given to another prompt."""
    return [(prompt, left, right) for (prompt, left), (_, right) in pairwise(answers)]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Please let the bread rest, my friend.", "Stop whining and let the bread rest, fool."),
        ("First, let the bread rest in the oven.", "First, tune the guitar and count the beat."),
        ("It helps to let the bread rest.", "It helps to let the bread rest." + " And so on." * 9),
        ("It helps to keep the oven hot.", "Bread."),
    ],
    ids=["politeness", "topic", "brevity", "completeness"],
)
def test_people_like(better, worse):
    assert utility(PROMPT, better) > utility(PROMPT, worse) + 0.3


def test_no_single_word_decides_the_utility(answers):
    spread = stdev(utility(*answer) for answer in answers)
    for prompt, answer in answers[:200]:
        words, whole = answer.split(), utility(prompt, answer)
        for i in range(len(words)):
            without = " ".join(words[:i] + words[i + 1 :])
            assert abs(utility(prompt, without) - whole) < 0.6 * spread


def test_repeating_a_good_word_does_not_pay():
    assert utility(PROMPT, "please bread " * 12) < utility(PROMPT, "Please let the bread rest.")


def test_a_perfect_judge_agrees_with_most_labels_but_not_all(pairs):
    agreed = []
    for seed in range(5):
        person = SimulatedAnnotator(seed)
        for prompt, left, right in pairs:
            choice = person.choose(prompt, left, right)
            if choice not in (0, 4):
                agreed.append((choice > 4) == (utility(prompt, right) > utility(prompt, left)))
    assert 0.75 <= sum(agreed) / len(agreed) <= 0.90


def test_people_use_the_whole_scale(pairs):
    person = SimulatedAnnotator(0)
    assert {person.choose(*pair) for pair in pairs} == set(range(8))


def test_people_lean_to_different_sides():
    sides = [SimulatedAnnotator(seed).side for seed in range(20)]
    assert min(sides) < 0 < max(sides)


def test_the_same_person_repeats_the_same_labels(pairs):
    labels = [[SimulatedAnnotator(3).choose(*pair) for pair in pairs[:50]] for _ in range(2)]
    assert labels[0] == labels[1]
