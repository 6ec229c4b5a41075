"""What benchmarks report: ratios with intervals, and arms that learn."""

import pytest

from benchmarks import quality
from benchmarks.intervals import geometric_ratio, ratio_of_medians


def test_a_ratio_of_medians_stands_within_its_interval():
    found = ratio_of_medians([2.0, 2.2, 1.8, 2.1, 9.0], [1.0, 1.1, 0.9, 1.0, 1.0])
    assert found["value"] == pytest.approx(2.1)
    assert 1.9 < found["low"] <= found["value"] <= found["high"] < 9.1


def test_a_geometric_ratio_is_paired():
    found = geometric_ratio([2.0, 0.5, 20.0], [1.0, 0.25, 10.0])
    assert list(found.values()) == pytest.approx([2.0, 2.0, 2.0])


def test_a_hard_target_is_left_out_where_it_is_refused():
    assert quality.allowed("reverse_kl") == ["mild", "strong"]
    assert quality.allowed("le_cam") == ["mild", "strong", "hard"]


@pytest.mark.parametrize("arm", quality.ARMS)
def test_every_arm_comes_nearer_to_a_hard_target(arm):
    run, _ = quality.ARMS[arm]
    assert run(quality.config_of(arm, "squared_hellinger", "hard", 3e-3), 0, 260) < 0.7
