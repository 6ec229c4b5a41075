"""Z from many proposals, effective sample sizes, intervals over prompts."""

import json
import math

import pytest
import torch

from alignment.maths.estimators import (
    ZCache,
    ess_fraction,
    estimate,
    grouped_interval,
    log_mean_exp,
    paired_estimate,
    pareto_shape,
)


def test_z_is_the_mean_of_all_weights_seen():
    z = ZCache()
    weights = torch.tensor([0.5, 2.0, 8.0, 1.5])
    z.update("a", weights[:3].log())
    z.update("a", weights[3:].log())
    assert z.log_z("a") == pytest.approx(math.log(3.0))


def test_z_of_different_prompts_do_not_mix():
    z = ZCache()
    z.update("a", torch.tensor([0.0]))
    z.update("b", torch.tensor([5.0]))
    assert (z.log_z("a"), z.log_z("b")) == (0.0, 5.0)


def test_z_is_unknown_until_mass_is_seen():
    z = ZCache()
    assert z.log_z("a") == -math.inf
    z.update("a", torch.tensor([-math.inf, -math.inf]))
    assert z.log_z("a") == -math.inf
    z.update("a", torch.tensor([1.0, -math.inf]))
    assert z.log_z("a") == pytest.approx(1 - math.log(4))


def test_z_survives_json_bit_by_bit():
    z = ZCache()
    z.update("a", torch.tensor([0.1, 700.0, -3.3]))
    again = ZCache(json.loads(json.dumps(z.state_dict())))
    assert again.state_dict() == z.state_dict()


def test_effective_sample_size_of_equal_and_of_one_weight():
    even, single = torch.zeros(8), torch.tensor([0.0] + 7 * [-math.inf])
    assert ess_fraction(torch.stack([even, single])).tolist() == pytest.approx([1, 1 / 8])


def test_log_mean_exp_does_not_overflow():
    weights = torch.tensor([1000.0, 1000.0 + math.log(3)])
    assert log_mean_exp(weights).item() == pytest.approx(1000 + math.log(2))


def test_the_interval_is_student_s():
    found = estimate([1.0, 2.0, 3.0, 4.0], "nats")
    assert (found.value, found.n, found.unit) == (2.5, 4, "nats")
    assert found.high - found.value == pytest.approx(3.182446 * 1.290994 / 2, rel=1e-5)


def test_one_prompt_has_no_interval():
    assert estimate([1.0]).low is None


def test_the_prompt_is_the_unit_not_the_sample():
    found = grouped_interval([1, 1, 1, 1, 0], ["a", "a", "a", "a", "b"])
    assert (found.value, found.n) == (0.5, 2)


def test_a_paired_difference_forgets_what_prompts_share():
    before = [0.0, 10.0, 20.0, 30.0]
    found = paired_estimate(before, [b + 1 for b in before])
    assert (found.low, found.high) == (1.0, 1.0)


def test_intervals_cover_as_often_as_they_say(generator):
    draws = torch.randn(2000, 12, generator=generator, dtype=torch.float64)
    found = [estimate(row) for row in draws.tolist()]
    covered = sum(e.low <= 0 <= e.high for e in found) / len(found)
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize("shape", [0.2, 0.6, 1.1])
def test_the_pareto_shape_of_weights_is_found(generator, shape):
    """Weights (1 - U)^-k have a Pareto tail of shape k; the prior pulls a little towards 1/2."""
    uniform = torch.rand(1_000_000, generator=generator, dtype=torch.float64)
    found = pareto_shape(-shape * torch.log1p(-uniform))
    assert found == pytest.approx(shape, abs=0.1)


def test_the_pareto_shape_does_not_depend_on_the_scale(generator):
    log_weights = torch.randn(500, generator=generator, dtype=torch.float64)
    assert pareto_shape(log_weights + 800) == pytest.approx(pareto_shape(log_weights))


def test_equal_weights_have_no_tail_and_few_have_none_to_fit():
    assert pareto_shape(torch.zeros(64)) == 0
    assert math.isnan(pareto_shape(torch.zeros(20)))


def test_weights_of_nothing_have_no_part_in_the_tail(generator):
    some = torch.randn(100, generator=generator, dtype=torch.float64)
    nothing = torch.full((300,), -math.inf, dtype=torch.float64)
    assert pareto_shape(torch.cat([some, nothing])) == pareto_shape(some)
    assert math.isnan(pareto_shape(nothing))
