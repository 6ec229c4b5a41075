"""Rules of texts, each by values that can be checked by hand."""

import pytest

from alignment.rules import contains, matches, similarity, words


def test_a_phrase_is_found_in_any_case():
    assert contains("Good Day")(["a good day", "good, day", ""]).tolist() == [1, 0, 0]


def test_a_pattern_is_searched_anywhere():
    assert matches(r"\d{2}")(["in 1999", "in 7 days"]).tolist() == [1, 0]


def test_words_are_counted():
    assert words()(["", "one", " two  words "]).tolist() == [0, 1, 2]


def test_the_nearest_example_counts():
    score = similarity("the sun shines | rain falls")
    assert score(["rain falls", "The Sun shines", "snow"]).tolist() == pytest.approx([1, 1, 0])


def test_words_that_no_example_has_make_a_text_less_similar():
    (near, far) = similarity("rain falls")(["rain falls", "rain falls on every roof of the town"])
    assert far < 0.7 * near


def test_a_rare_word_weighs_more_than_one_that_every_example_has():
    (common, rare) = similarity("the sun|the rain|the wind")(["the", "wind"])
    assert rare > common > 0
