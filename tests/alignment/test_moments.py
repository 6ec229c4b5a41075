"""Lambda against closed forms, and what cannot be fitted."""

import math

import pytest
import torch

from alignment.errors import DataError
from alignment.moments import fit_moments


def fit(features, means, log_weights=None, names=("length", "phrase")):
    features = torch.as_tensor(features, dtype=torch.float64)
    weights = torch.zeros(features.shape[:2]) if log_weights is None else log_weights
    generator = torch.Generator().manual_seed(0)
    return fit_moments(weights, features, means, names[: len(means)], generator)


def binary(share, count=1000):
    return (torch.arange(count) < share * count).double()[None, :, None]


@pytest.mark.parametrize("mean", [0.05, 0.5, 0.9])
def test_one_binary_feature_has_the_difference_of_the_logits(mean):
    found = fit(binary(0.2), [mean])
    expected = math.log(mean / (1 - mean)) - math.log(0.2 / 0.8)
    assert found.lambdas.item() == pytest.approx(expected, abs=1e-8)
    assert found.achieved.item() == pytest.approx(mean, abs=1e-9)


def test_the_interval_is_as_wide_as_theory_says():
    found = fit(binary(0.2), [0.5])
    error = 1.96 / math.sqrt(1000 * 0.2 * 0.8)  # of logit(mu_0) from 1000 samples
    assert found.high.item() - found.lambdas.item() == pytest.approx(error, rel=0.35)
    assert found.low < found.lambdas < found.high


def test_the_interval_knows_that_prompts_differ():
    shares = [0.05, 0.5] * 10
    found = fit(torch.cat([binary(share) for share in shares]), [0.4])
    of_samples = 1.96 / math.sqrt(20 * 1000 * 0.25 * 0.75)
    assert found.high.item() - found.low.item() > 5 * of_samples


def test_samples_count_by_their_weights():
    weights = torch.full((1, 1000), math.log(4), dtype=torch.float64)
    weights[:, 200:] = 0.0  # a share of 0.2, four times as likely: 0.5
    assert fit(binary(0.2), [0.5], weights).lambdas.item() == pytest.approx(0, abs=1e-8)


def test_two_features_reach_their_means_together(generator):
    draws = torch.randn(20, 50, 2, dtype=torch.float64, generator=generator)
    draws[..., 1] = 7 + 100 * (draws[..., 1] + draws[..., 0])  # another scale, correlated
    found = fit(draws, [0.4, 20.0])
    tilted = (draws @ found.lambdas).softmax(1)[..., None]
    torch.testing.assert_close((tilted * draws).sum(1).mean(0).tolist(), [0.4, 20.0])


def test_the_mean_is_over_prompts_with_a_normaliser_each():
    features = torch.cat([binary(0.2), binary(0.6)])
    chance = torch.stack([binary(0.2).mean(), binary(0.6).mean()])
    tilted = torch.sigmoid(torch.logit(chance) + fit(features, [0.7]).lambdas)
    assert tilted.mean().item() == pytest.approx(0.7, abs=1e-8)


def test_a_feature_that_was_never_seen_is_named():
    with pytest.raises(DataError, match="No reference completion has the feature “phrase”"):
        fit(torch.stack([binary(0.5), 0 * binary(0.5)], -1)[..., 0, :], [0.5, 0.5])


def test_a_mean_out_of_reach_names_what_can_be_reached():
    lengths = torch.linspace(3, 9, 200)[None, :, None]
    with pytest.raises(DataError, match="above 3 and below 9"):
        fit(lengths, [9.5])


def test_means_that_exclude_each_other_are_refused():
    one = binary(0.5)
    with pytest.raises(DataError, match="together"):
        fit(torch.cat([one, 1 - one], -1), [0.7, 0.7])


def test_too_few_samples_are_refused():
    with pytest.raises(DataError, match="too few to fit"):
        fit(binary(0.01), [0.95])


def test_prompts_where_nothing_is_possible_take_no_part():
    weights = torch.zeros(2, 1000)
    weights[1] = -torch.inf
    found = fit(torch.cat([binary(0.2), binary(0.9)]), [0.5], weights)
    assert found.lambdas.item() == pytest.approx(math.log(4), abs=1e-8)


def test_draws_in_which_a_prompt_has_no_weight_leave_an_interval(generator):
    """Of few prompts samples are drawn again, and the only ones that count may not be among them."""
    weights = torch.zeros(4, 200)
    weights[0, 1:] = -torch.inf
    features = (torch.rand(4, 200, 1, generator=generator) < 0.4).double()
    features[0, 0] = 1
    found = fit(features, [0.6], weights)
    assert found.low.isfinite()
    assert found.low < found.lambdas < found.high
