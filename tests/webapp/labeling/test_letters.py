"""Answers in the letters of another card."""

import pytest

from webapp.labeling.kinds import kind_named
from webapp.labeling.letters import words_in_letters


@pytest.mark.parametrize(
    ("choice", "order", "seen", "words"),
    [
        (1, [0, 1], [0, 1], "A: chosen"),
        (1, [0, 1], [1, 0], "B: chosen"),
        (6, [1, 0], [1, 0], "B: chosen"),
        (4, [0, 1], [1, 0], "tie"),
    ],
)
def test_an_answer_is_told_in_the_letters_that_somebody_sees(choice, order, seen, words):
    assert words_in_letters(kind_named("compare"), {"choice": choice}, order, seen=seen) == words
