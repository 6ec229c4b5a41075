"""Learning curves: exact ones are found again, and their gains' intervals hold what is true."""

import random

import pytest

from webapp.results import learning_curves
from webapp.results.learning_curves import Point, fit_curve, gain_of, tells_enough, value_after

AMOUNTS = (60, 120, 240, 480, 960)


def curve(amount, power=0.5):
    return 0.8 - 2.0 * amount**-power


def half(gain):
    return (gain.high - gain.low) / 2


def points(error, power=0.5, seed=None, amounts=AMOUNTS):
    chance = random.Random(seed)
    off = (lambda: 0.0) if seed is None else (lambda: chance.gauss(0, error))
    return [Point(n, curve(n, power) + off(), error) for n in amounts]


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0])
def test_a_curve_that_was_measured_exactly_is_found_again(power):
    found = fit_curve(points(1e-6, power), most=1.0)
    assert (found.limit, found.scale, found.power) == pytest.approx((0.8, 2.0, power))
    gain = gain_of(tuple(points(1e-6, power)), 960, 500, most=1.0)
    assert gain.value == pytest.approx(curve(1460, power) - curve(960, power))
    assert gain.low <= gain.value <= gain.high
    assert half(gain) < 1e-4


def test_what_can_be_at_most_one_is_not_expected_to_be_more():
    steep = [Point(n, 0.2 + n / 1000, 0.01) for n in (100, 200, 400, 700)]
    found = fit_curve(steep, most=1.0)
    assert found.limit <= 1
    assert all(found.at(n) < 1 for n in (1e3, 1e6, 1e9))
    falling = [Point(n, 0.9 - n / 2000, 0.01) for n in (100, 200, 400)]
    assert gain_of(tuple(falling), 400, 500, most=1.0).value == 0  # more never harms, by this form


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = curve(1460) - curve(960)
    held = then = 0
    for seed in range(40):
        measured = tuple(points(0.01, seed=seed))
        gain, after = gain_of(measured, 960, 500, most=1.0), value_after(measured, 1460, most=1.0)
        held += gain.low <= truth <= gain.high
        then += after.low <= curve(1460) <= after.high
    assert held >= 34  # of 38 expected
    assert then >= 34


def test_intervals_widen_with_what_was_measured_badly_and_with_runs_that_disagree():
    sure, unsure = (gain_of(tuple(points(error)), 960, 500, most=1.0) for error in (0.003, 0.03))
    assert 3 * half(sure) < half(unsure)
    told = points(0.003)
    apart = [
        one._replace(value=one.value + (0.03 if n % 2 else -0.03)) for n, one in enumerate(told)
    ]
    wide, narrow = (gain_of(tuple(one), 960, 500, most=1.0) for one in (apart, told))
    assert half(wide) > 3 * half(narrow)


def test_three_amounts_that_lie_apart_are_the_least():
    assert tells_enough(points(0.01, amounts=(100, 120, 150)))
    assert not tells_enough(points(0.01, amounts=(100, 120, 140)))
    assert not tells_enough(points(0.01, amounts=(100, 100, 400)))
    assert not tells_enough([])


def test_the_same_points_are_not_fitted_again(monkeypatch):
    asked = (tuple(points(0.01, seed=99)), 960, 500, 1.0)
    first = gain_of(*asked)
    monkeypatch.setattr(learning_curves, "_fitted", None)
    assert gain_of(*asked) == first
