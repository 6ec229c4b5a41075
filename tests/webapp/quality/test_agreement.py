"""Agreement: equal to what others compute, and within its intervals as often as they say."""

from functools import partial

import krippendorff
import numpy as np
import pytest

from tests.webapp.quality.simulated import PROJECTS, truth
from webapp.quality.agreement import (
    Estimated,
    alpha_with_interval,
    krippendorff_alpha,
    pairs_agreeing,
    share,
    verdict_value,
)

LEVELS = ("nominal", "ordinal", "interval")


def table(seed, levels=5):
    """Labels of people (rows) of tasks, with gaps; never only one value."""
    chance = np.random.default_rng(seed)
    found = chance.integers(levels, size=(chance.integers(2, 6), chance.integers(3, 40)))
    found = np.where(chance.random(found.shape) < 0.3, np.nan, found)
    found[:2, :2] = [[0, 1], [0, 1]]
    return found


def units_of(found):
    """The labels of each task."""
    return [column[~np.isnan(column)].tolist() for column in found.T]


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_is_that_of_the_package_on_tables_with_gaps(level):
    for seed in range(60):
        found = table(seed)
        theirs = krippendorff.alpha(found, level_of_measurement=level)
        assert krippendorff_alpha(units_of(found), level) == pytest.approx(theirs, abs=1e-9)


def kemeny(one, other):
    """The distance of two rankings, pair by pair, as its authors define it."""
    both = [(np.sign(a[i] - a[j])) for a in (one, other) for i in range(len(a)) for j in range(i)]
    half = len(both) // 2
    return sum(abs(a - b) for a, b in zip(both[:half], both[half:], strict=True))


def distance(domain, v1, v2, **_unused):
    """The same of rankings by their numbers, as the package asks for it."""
    pairs = np.broadcast(v1, v2)
    flat = [kemeny(domain[int(a)], domain[int(b)]) for a, b in pairs]
    return np.array(flat, dtype=float).reshape(pairs.shape)


def test_alpha_of_rankings_is_that_of_the_package_with_the_distance_of_kemeny_and_snell():
    chance = np.random.default_rng(0)
    for seed in range(20):
        domain = list({tuple(chance.integers(1, 4, size=4).tolist()) for _ in range(6)})
        found = table(seed, levels=len(domain))
        units = [[domain[int(one)] for one in unit] for unit in units_of(found)]
        theirs = krippendorff.alpha(
            found,
            level_of_measurement=partial(distance, domain),
            value_domain=range(len(domain)),
        )
        assert krippendorff_alpha(units, "ranking") == pytest.approx(theirs, abs=1e-9)


def test_rankings_of_different_numbers_of_items_are_compared_apart():
    alike = [[(1.0, 2.0), (1.0, 2.0)], [(2.0, 1.0), (2.0, 1.0)]]
    longer = [[(1.0, 2.0, 3.0)] * 2, [(3.0, 2.0, 1.0)] * 2]
    assert krippendorff_alpha(alike + longer, "ranking") == pytest.approx(1)


def test_attributes_of_one_rating_count_together():
    """What is said twice says no more, and what nobody agrees about takes from the rest."""
    marks = units_of(table(3))
    doubled = [[(one, one) for one in unit] for unit in marks]
    for level in ("ordinal", "interval"):
        assert krippendorff_alpha(doubled, level) == pytest.approx(krippendorff_alpha(marks, level))
    mixed = [[(1.0, 1.0), (1.0, 2.0)], [(2.0, 2.0), (2.0, 1.0)]]
    assert (
        krippendorff_alpha(mixed, "interval")
        < krippendorff_alpha([[1.0, 1.0], [2.0, 2.0]], "interval")
        == 1
    )


def test_what_nobody_could_disagree_about_has_no_alpha():
    assert krippendorff_alpha([["a", "a"], ["a", "a"]], "nominal") is None
    assert krippendorff_alpha([["a"], ["b"]], "nominal") is None
    assert alpha_with_interval([["a"]], "nominal") == pairs_agreeing([]) == Estimated()


def test_pairs_that_agree_are_counted_within_tasks():
    units = [["a", "a", "b"], ["b", "b"], ["c"]]
    found = pairs_agreeing(units)
    assert (found.value, found.tasks, found.labels) == (0.5, 2, 5)
    assert found.low is found.high is None  # too few to say
    found = pairs_agreeing(units * 5)
    assert 0 < found.low < 0.5 < found.high < 1


def test_an_interval_is_the_same_whenever_it_is_drawn_and_narrower_with_more_tasks():
    few, many = (list(PROJECTS["nominal"](n, np.random.default_rng(5))) for n in (50, 1000))
    narrow, wide = (alpha_with_interval(units, "nominal") for units in (many, few))
    assert alpha_with_interval(few, "nominal") == wide
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low) > 0


def test_an_interval_of_many_different_tasks_needs_little_memory(monkeypatch):
    """What is drawn in portions is what is drawn at once."""
    units = list(PROJECTS["interval"](60, np.random.default_rng(5)))
    at_once = alpha_with_interval(units, "interval", draws=50)
    monkeypatch.setattr("webapp.quality.agreement.ROOM", 500)
    assert alpha_with_interval(units, "interval", draws=50) == pytest.approx(at_once)


def test_a_share_has_wilsons_interval():
    assert share(0, 0) == Estimated()
    found = share(8, 10)  # as textbooks have it
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share(0, 5).low == pytest.approx(0)
    assert 0 < share(0, 5).high < 1


@pytest.mark.parametrize(
    ("verdict", "level", "value"),
    [
        ("0>1", "nominal", "0>1"),
        ("4", "ordinal", (4.0,)),
        ("3,-1.5", "interval", (3.0, -1.5)),
        ("2>0=1", "ranking", (1.0, 1.0, 0.0)),
        ("both bad", "ranking", "both bad"),
    ],
)
def test_a_verdict_is_read_as_its_level_compares_it(verdict, level, value):
    assert verdict_value(verdict, level) == value


@pytest.mark.prove
@pytest.mark.parametrize("level", PROJECTS)
def test_intervals_hold_the_truth_in_about_95_of_100_projects(level):
    right, held = truth(level), 0
    for seed in range(1000):
        units = PROJECTS[level](150, np.random.default_rng(seed))
        found = alpha_with_interval(units, level, draws=600)
        held += found.low <= right <= found.high
    print(f"{level}: alpha {right:.3f}, held by {held / 10:.1f} % of the intervals")
    assert 930 <= held <= 970
