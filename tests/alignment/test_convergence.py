"""The proof that every divergence comes to every target: what it refuses, and its quickest pair."""

import pytest

from alignment.maths.divergences import divergence_of
from tests.prove.convergence import EVERY_F, TARGETS, Found, report, run, settings_of


@pytest.mark.parametrize("target", TARGETS)
def test_pairs_of_infinite_cost_are_refused_and_no_others(target):
    hard = target in ("hard", "hybrid")
    for name in EVERY_F:
        soft = settings_of(name, "reward")
        unbounded = divergence_of(soft).limit == float("inf")
        assert (settings_of(name, target) is None) == (hard and unbounded)


@pytest.mark.slow
def test_the_quickest_pair_comes_to_its_target():
    found = run("reverse_kl", "moment", settings_of("reverse_kl", "moment"))
    assert found.came
    assert found.steps <= 200


def test_the_report_tells_the_smallest_factors():
    rows = [Found("reverse_kl", "reward", 21.0, 40), Found("total_variation", "reward", 9.0, 2000)]
    told = report(rows, [], 3.2)
    assert told["by_target"] == {"reward": 9.0}
    assert (told["came"], told["pairs"], told["most_steps"]) == (1, 2, 2000)
