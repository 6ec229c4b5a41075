"""Answers told by places, whatever sides people saw."""

import pytest

from webapp.labeling.kinds import kind_named
from webapp.quality.sayings import sayings_of, words_by_place


@pytest.mark.parametrize(
    ("choice", "order", "words"),
    [
        (1, [0, 1], "A: chosen"),
        (1, [1, 0], "B: chosen"),
        (6, [1, 0], "A: chosen"),
        (4, [1, 0], "tie"),
        (0, [0, 1], "both bad"),
    ],
)
def test_an_answer_names_places_instead_of_sides(choice, order, words):
    assert words_by_place(kind_named("compare"), {"choice": choice}, order) == words


@pytest.mark.django_db
def test_what_people_say_alike_stands_together(disputed):
    sayings = sayings_of(disputed.asks, disputed.labels.all())
    assert [len(one.labels) for one in sayings] == [1, 1]
    assert {str(one.words) for one in sayings} == {"A: chosen", "B: chosen"}
