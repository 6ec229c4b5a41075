"""A mapping that keeps most of its values in a file is as one that keeps all of them in memory."""

import random
from itertools import chain

import pytest

from tests.webapp.datasets.test_typed import DOCUMENTS
from tests.webapp.datasets.test_typed import held as read
from webapp.datasets.imports import scratch
from webapp.datasets.imports.scratch import ScratchDict


@pytest.fixture(params=[2, 10_000])
def held(request, monkeypatch):
    """One that holds so many values in memory."""
    monkeypatch.setattr(scratch, "KEPT", request.param)
    monkeypatch.setattr(scratch, "AT_ONCE", 3)
    return ScratchDict(lambda value: ([], value), lambda kept: list(kept[1]))


def test_it_is_as_a_dict_whatever_is_looked_for_and_changed(held):
    chance, known = random.Random(0), {}
    for number in range(300):
        key = str(chance.randrange(60))
        assert held.find(key) == known.get(key)
        if key not in known:
            held.add(key, [])
            known[key] = []
        held[key].append(number)
        known[key].append(number)
        if number % 7 == 0:
            held[key], known[key] = [-number], [-number]
    assert list(held) == list(known)
    assert list(held.values()) == list(known.values())
    assert list(held.items()) == list(known.items())
    assert held == known
    assert len(held) == len(known)


def test_a_key_that_is_not_there_is_refused_and_none_is_removed(held):
    held.update({str(number): [number] for number in range(9)})
    assert ("9" in held, held.find("9")) == (False, None)
    with pytest.raises(KeyError):
        held["9"]
    with pytest.raises(NotImplementedError):
        del held["1"]


def test_values_may_be_changed_while_all_are_looked_at(held):
    held.update({str(number): [number] for number in range(9)})
    for key, value in held.items():
        held[key] = [*value, "seen"]
    assert list(held.values()) == [[number, "seen"] for number in range(9)]


def test_a_file_of_every_format_is_read_the_same(monkeypatch):
    """Twice, so that each prompt is found again."""
    rows = list(chain.from_iterable(typed.rows for _name, typed in DOCUMENTS)) * 2
    whole = read(rows)
    monkeypatch.setattr(scratch, "KEPT", 1)
    assert read(rows) == whole
    assert read(rows).judgements() == sum(
        one.ranked() + len(one.pairs) + len(one.labels) for one in whole.prompts.values()
    )


def test_what_many_values_have_beside_their_texts_is_written_once(monkeypatch):
    """Of a long one, and of one that may be changed, each its own."""
    monkeypatch.setattr(scratch, "KEPT", 1)
    written = []
    monkeypatch.setattr(scratch, "_written_once", lambda rest: written.append(hash(rest)) or "[0]")
    held = ScratchDict(lambda value: ([""], value), lambda kept: kept[1])
    long = ["x" * scratch.SHORT]
    held.update({"a": ("same",), "b": ["list"], "c": ("same",), "d": long, "e": [*long]})
    assert list(held.values()) == [[0], ["list"], [0], long, long]
    assert len({*written}) == 1
    assert held["a"] is held["c"]
    assert held["d"] is not held["e"]


def test_a_filter_knows_each_key_that_was_added_and_few_others():
    known = scratch.KeyFilter()
    for number in range(2000):
        known.add(str(number))
    assert all(str(number) in known for number in range(2000))
    assert sum(str(number) in known for number in range(2000, 6000)) < 4


def test_a_filter_that_takes_every_key_for_known_changes_nothing(held, monkeypatch):
    monkeypatch.setattr(scratch.KeyFilter, "__contains__", lambda _filter, _key: True)
    held.update({str(number): [number] for number in range(9)})
    assert held.find("9") is None
    held.add("9", [9])
    assert list(held.values()) == [[number] for number in range(10)]


@pytest.mark.parametrize("texts", [[], [""], ["a", ""], ["a\0b", "c"], ["\ud800"], ["ü 漢"]])
def test_texts_come_back_as_they_were(texts, monkeypatch):
    monkeypatch.setattr(scratch, "KEPT", 1)
    held = ScratchDict(lambda value: (value, len(value)), lambda kept: [*kept[0], kept[1]])
    held.update({"a": texts, "b": ["other"]})
    assert held["a"] == [*texts, len(texts)]
