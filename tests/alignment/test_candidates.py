"""Pairs that could be asked, and what is said of each."""

from itertools import combinations

import pytest
import torch

from alignment.reward import candidates
from alignment.reward.candidates import Candidates, ordered_pairs, pairs_among
from alignment.seam.records import AskedRecord, StoredRecord
from tests.alignment.rewarding import a_prompt


def answers(prompt, *texts):
    return [StoredRecord(prompt=a_prompt(prompt), completion=text) for text in texts]


ROWS = [*answers("sun", "day", "night", " day ", "rain"), *answers("rain", "day")]


def among(rows=ROWS, asked=()):
    return pairs_among(rows, asked, torch.Generator().manual_seed(0))


def test_different_answers_to_one_prompt_are_pairs():
    assert among() == Candidates([(0, 1), (0, 3), (1, 2), (1, 3), (2, 3)], [])


def test_what_people_were_asked_is_set_apart_whatever_stood_first():
    asked = [AskedRecord(prompt=a_prompt("sun"), completions=("rain", "night"))]
    asked.append(AskedRecord(prompt=a_prompt("rain"), completions=("day", "night")))
    assert among(asked=asked) == Candidates([(0, 1), (0, 3), (1, 2), (2, 3)], [(1, 3)])


def test_of_too_many_some_are_drawn_by_chance(monkeypatch):
    monkeypatch.setattr(candidates, "OF_A_PROMPT", 4)
    rows = answers("sun", *"abcdefgh")
    found = among(rows).free
    assert len(found) == 4
    assert set(found) < set(combinations(range(8), 2))
    monkeypatch.setattr(candidates, "MOST", 3)
    assert len(among(rows).free) == 3


@pytest.fixture
def features():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def test_each_pair_is_told_with_its_places_in_both_orders(features):
    raw = features @ torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    found = ordered_pairs(among(), features, raw, 2)
    assert [(int(one.first), int(one.second)) for one in found] == among().free
    for name in ("by_ensemble", "by_design"):
        assert sorted(place for one in found if (place := getattr(one, name)) is not None) == [0, 1]
    margins = (raw[0] - raw[1]).double()
    assert found[0].chance == pytest.approx(margins.sigmoid().mean().item())
    assert 0 < found[0].information < found[0].entropy < 0.7


def test_one_head_has_no_order_by_its_disagreement(features):
    found = ordered_pairs(among(), features, features[:, :1], 5)
    assert {one.by_ensemble for one in found} == {None}
    assert {one.by_design for one in found} == set(range(5))
    assert {one.information for one in found} == {0.0}


def test_where_nothing_is_left_nothing_is_proposed(features):
    assert ordered_pairs(Candidates([], [(0, 1)]), features, features, 5) == []
