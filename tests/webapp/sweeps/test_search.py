"""Samplers and pruner, made anew each time from what was tried."""

import math

import pytest

from webapp.sweeps.config import SearchConfig
from webapp.sweeps.search import Searcher
from webapp.sweeps.space import AtRung, Dimension, Tried, grid_points

RATE = Dimension(name="rate", low=0.001, high=1.0, log=True)
WIDTH = Dimension(name="width", low=1, high=9, whole=True)
WAY = Dimension(name="way", values=("up", "down", "left"))


def searcher(method, *space, larger=False, seed=0, **more):
    return Searcher(space or (RATE, WIDTH, WAY), SearchConfig(method=method, **more), larger, seed)


def proposals(search, number, score=lambda values: 0.0):
    tried = []
    for _ in range(number):
        values = search.propose(tried)
        tried.append(Tried(values, score(values)))
    return [one.values for one in tried]


@pytest.mark.parametrize("method", ["random", "tpe", "asha"])
def test_points_lie_in_the_space_and_are_the_same_again(method):
    first = proposals(searcher(method), 8)
    assert first == proposals(searcher(method), 8)
    assert first != proposals(searcher(method, seed=1), 8)
    assert len({tuple(one.values()) for one in first}) > 6
    for one in first:
        assert 0.001 <= one["rate"] <= 1
        assert one["width"] in range(1, 10)
        assert one["way"] in WAY.values


def test_a_grid_is_gone_through_once():
    space = (Dimension(name="rate", values=(0.1, 1.0)), WIDTH, WAY)
    found = proposals(searcher("grid", *space), 2 * 5 * 3)
    wanted = [tuple(one.values()) for one in grid_points(space)]
    assert sorted(tuple(one.values()) for one in found) == sorted(wanted)


@pytest.mark.parametrize("method", ["random", "asha"])
def test_chance_tries_no_point_of_a_list_twice(method):
    space = (Dimension(name="rate", values=(0.1, 1.0)), WAY)
    found = {tuple(one.values()) for one in proposals(searcher(method, *space), 6)}
    assert len(found) == 6


def test_a_grid_of_one_setting_ends_too():
    one = Dimension(name="way", values=("up", "down"))
    assert {point["way"] for point in proposals(searcher("grid", one), 2)} == {"up", "down"}


@pytest.mark.parametrize("larger", [False, True])
def test_tpe_searches_where_it_was_good(larger):
    """The optimum is at 0.1: later points lie nearer to it than the first ones, which are random."""
    sign = -1 if larger else 1
    search = searcher("tpe", RATE, larger=larger, trials=40)
    found = proposals(search, 40, lambda values: sign * math.log10(values["rate"] * 10) ** 2)
    off = [abs(math.log10(one["rate"] * 10)) for one in found]
    assert sum(off[-10:]) < 0.5 * sum(off[:10])


def test_what_failed_or_is_at_work_is_told_and_has_no_score():
    tried = [
        Tried({"rate": 0.1, "width": 2, "way": "up"}, None, failed) for failed in (True, False)
    ]
    assert searcher("tpe").propose(tried).keys() == {"rate", "width", "way"}


def arrived(*rows):
    return [AtRung(*row) for row in rows]


def goes_on(*rows, larger=False):
    return searcher("asha", larger=larger, reduction=3).goes_on(arrived(*rows))


def test_the_first_at_a_rung_goes_on():
    assert goes_on((0, 0, 5.0))


def test_only_the_best_third_goes_on():
    """Sorted: 1, 2, 3, 4, 5, 6: of six two may go on."""
    others = [(number, 0, value) for number, value in enumerate((1.0, 3.0, 4.0, 5.0, 6.0))]
    assert goes_on(*others, (5, 0, 2.0))
    assert not goes_on(*others, (5, 0, 3.5))
    assert goes_on(*others, (5, 0, 7.0), larger=True)
    assert not goes_on(*others, (5, 0, 2.0), larger=True)


def test_each_rung_compares_those_who_came_to_it():
    low = [(0, 0, 1.0), (1, 0, 2.0), (0, 1, 0.5)]
    assert not goes_on(*low, (1, 1, 0.6))
    assert goes_on(*low, (1, 1, 0.4))


def test_who_diverged_does_not_go_on():
    assert not goes_on((0, 0, None))


def test_the_rungs_lie_within_the_run():
    config = SearchConfig(method="asha", first_rung=4, reduction=3)
    assert config.rungs(100) == [4, 12, 36]
    assert config.rungs(12) == [4]
    assert SearchConfig().rungs(100) == []


def test_the_first_rung_is_a_sixth_of_a_trial_unless_somebody_says_otherwise():
    config = SearchConfig(method="asha")
    assert config.rungs(54) == [9, 27]
    assert config.rungs(600) == [100, 300]
    assert config.rungs(2) == [1]
    assert config.rungs(0) == []
