"""Texts that say nearly the same, found without comparing each with each."""

import pytest

from webapp.datasets.near_duplicates import KeptSample, are_alike, groups_alike

RIVER = "Describe how a river shapes the land on its way from the mountains down to the sea."
NEARLY = "Describe how a river shapes the land on the way from the mountains down to the sea!"
OTHER = "Name three cheeses that go well with pears, and say in a word what each tastes of."


def sample_of(*texts, most=100):
    sample = KeptSample(most)
    for number, text in enumerate(texts):
        if sample.wants(number):
            sample.add(number, number, text if isinstance(text, tuple) else (text,))
    return sample


def test_what_differs_by_a_word_is_found_among_others():
    fillers = [f"{place} {OTHER} {place * 7919}" * 2 for place in "abcdefgh"]
    assert [0, 9] in groups_alike(sample_of(RIVER, *fillers, NEARLY))


def test_groups_are_joined_by_what_they_share():
    third = NEARLY.replace("Describe", "Describes")
    assert groups_alike(sample_of(RIVER, OTHER, NEARLY, third)) == [[0, 2, 3]]
    assert groups_alike(sample_of(RIVER, OTHER)) == []


def test_short_texts_are_alike_only_where_they_are_the_same():
    assert not are_alike(["What is 2 + 3?"], ["What is 2 + 4?"])
    assert are_alike(["Why?"], ["Why?"])


def test_each_part_must_be_alike():
    assert not are_alike([RIVER, "Yes."], [NEARLY, "No."])
    assert are_alike([RIVER, "Yes."], [NEARLY, "Yes."])


@pytest.mark.parametrize("order", [1, -1])
def test_of_many_the_same_few_are_kept_whatever_their_order(order):
    texts = [str(number) for number in range(50)]
    sample = KeptSample(10)
    for number in range(50)[::order]:
        if sample.wants(number):
            sample.add(number, number, (texts[number],))
        assert len(sample.texts) <= 20
    assert [name for name, _parts in sample] == list(range(10))


def test_what_is_there_or_too_high_is_not_wanted():
    sample = sample_of(*map(str, range(21)), most=10)
    assert not sample.wants(3)
    assert not sample.wants(10)
