"""One schedule for all training: up, level, down."""

import pytest

from alignment.models.schedules import share_of_peak

SPACE = [
    (total, rising, falling)
    for total in (1, 2, 7, 40)
    for rising in (0, 1, 5, total)
    for falling in (0, 1, 3, total)
]


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_a_rate_rises_stays_and_falls_and_every_step_moves(shape):
    for total, rising, falling in SPACE:
        shares = [
            share_of_peak(step, total, rising=rising, falling=falling, shape=shape)
            for step in range(total)
        ]
        assert all(0 < share <= 1 for share in shares), (total, rising, falling)
        top = shares.index(max(shares))
        assert shares[: top + 1] == sorted(shares[: top + 1]), (total, rising, falling)
        assert shares[top:] == sorted(shares[top:], reverse=True), (total, rising, falling)


def test_without_a_rise_and_a_fall_it_is_constant():
    assert {share_of_peak(step, 9, rising=0, falling=0) for step in range(9)} == {1.0}


def test_the_fall_ends_one_step_before_its_least():
    shares = [share_of_peak(step, 8, rising=2, falling=4) for step in range(8)]
    assert shares == pytest.approx([0.5, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert share_of_peak(8, 8, rising=2, falling=4, least=0.05) == pytest.approx(0.05)
