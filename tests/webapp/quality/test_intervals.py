"""Figures as tables show them."""

import pytest

from webapp.quality.templatetags.intervals import (
    leans,
    seconds,
    share_with_interval,
    with_interval,
)

KNOWN = {"value": 0.61, "low": 0.52, "high": 0.7}
NOTHING = {"value": None, "low": None, "high": None}


def test_a_figure_is_shown_with_its_interval():
    assert with_interval(KNOWN) == "0.61 (0.52 to 0.70)"
    assert share_with_interval(KNOWN) == "61 % (52 to 70)"
    assert with_interval({"value": -1e-9, "low": -0.2, "high": 0.1}) == "0.00 (-0.20 to 0.10)"


def test_what_cannot_be_said_is_a_dash():
    assert {with_interval(NOTHING), share_with_interval(NOTHING), with_interval({})} == {"—"}
    assert with_interval(NOTHING | {"value": 1.0}) == "1.00"
    assert share_with_interval(NOTHING | {"value": 1.0}) == "100 %"
    assert seconds(None) == "—"


@pytest.mark.parametrize(
    ("low", "high", "way"),
    [(0.52, 0.7, "more"), (0.1, 0.48, "less"), (0.4, 0.6, ""), (None, None, "")],
)
def test_a_share_leans_where_half_is_outside_of_its_interval(low, high, way):
    assert leans({"value": 0.5, "low": low, "high": high}) == way


def test_short_times_have_a_digit_behind_the_point():
    assert (seconds(1234), seconds(61_000)) == ("1.2 s", "61 s")
