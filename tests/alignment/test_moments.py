"""Lambda against closed forms, and what cannot be fitted."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from alignment.maths.estimators import ess_fraction
from alignment.seam.errors import DataError
from alignment.targets import moments
from alignment.targets.moments import fit_moments


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


class Feasible(NamedTuple):
    """Samples, and means that a known lambda gives them."""

    log_weights: Tensor
    features: Tensor
    means: Tensor


def of_kind(kind: str, draws: Tensor, rand: Tensor) -> Tensor:
    """Features (prompts, n, k) of a kind, from normal draws and uniform ones of that shape."""
    first = draws[..., :1]
    return {
        "normal": draws,
        "heavy": draws**3,
        "binary": (rand < rand[:1, :1]).double(),
        "counts": (40 * rand).floor(),
        "scales": draws * 10 ** (12 * rand[0, 0] - 6) + 10 ** (6 * rand[0, 1] - 3),
        "tiny": 0.5 + draws * 10 ** (-9 * rand[0, 0]),
        "far apart": draws + 100 * draws[:, :1],
        "collinear": torch.cat([draws, draws.sum(-1, keepdim=True), -first], -1),
        "nearly collinear": torch.cat([draws, first + 10 ** (-8 * rand[0, 0, 0]) * rand], -1),
        "constant": torch.cat([draws, 0 * first + 12, 0 * first + draws[:, :1, :1].abs()], -1),
        "many": torch.cat([draws.roll(turn, 1) ** (1 + turn % 3) for turn in range(12)], -1),
    }[kind]


KINDS = [
    "normal", "heavy", "binary", "counts", "scales", "tiny",
    "far apart", "collinear", "nearly collinear", "constant", "many",
]  # fmt: skip


def feasible(kind: str, seed: int) -> Iterator[Feasible]:
    """Fits that can be made: |lambda . phi| <= 5 nats, enough effective samples."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    while True:
        prompts, count, k = (
            int(low + size * uniform(1)) for low, size in ((1, 40), (8, 190), (1, 3))
        )
        draws = torch.randn(prompts, count, k, generator=generator, dtype=torch.float64)
        features = of_kind(kind, draws, uniform(prompts, count, k))
        weights = 2 * uniform(1) * torch.randn(prompts, count, generator=generator).double()
        weights[uniform(prompts, count) < 0.4 * uniform(1) * (uniform(1) < 0.5)] = -torch.inf
        weights[1:][uniform(prompts - 1) < 0.3 * (uniform(1) < 0.5)] = -torch.inf
        seen = weights > -torch.inf
        features[~seen] *= 1e9  # what has no weight counts for nothing
        possible = seen.any(1)
        tilts = features @ torch.randn(features.shape[-1], generator=generator).double()
        tilts -= tilts.where(seen, 0.0).mean(1, keepdim=True)
        tilted = weights + tilts * 5 * uniform(1) / tilts[seen].abs().max()
        kept = (count * ess_fraction(tilted[possible]) - 1).sum()
        if kept > 20 and kept > 0.1 * possible.sum() * (count - 1) and features[seen].any(0).all():
            chances = tilted[possible].softmax(1)[..., None]
            yield Feasible(weights, features, (chances * features[possible]).sum(1).mean(0))


def check_feasible(kind: str, count: int) -> None:
    for seed, one in zip(range(count), feasible(kind, KINDS.index(kind)), strict=False):
        names = [f"feature {k}" for k in range(len(one.means))]
        generator = torch.Generator().manual_seed(seed)
        found = fit_moments(one.log_weights, one.features, one.means.tolist(), names, generator)
        missed = (found.achieved - one.means).abs()
        assert (missed <= 1e-6 * one.means.abs().clamp(min=1)).all(), (seed, missed)


@pytest.mark.parametrize("kind", KINDS)
def test_means_that_some_lambda_gives_are_met(kind, monkeypatch):
    monkeypatch.setattr(moments, "RESAMPLES", 1)
    check_feasible(kind, 8)


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_means_that_some_lambda_gives_are_always_met(kind, monkeypatch):
    monkeypatch.setattr(moments, "RESAMPLES", 1)
    check_feasible(kind, 200)


def test_a_mean_that_every_completion_has_is_met():
    lengths = torch.full((1, 100, 1), 12.0)
    found = fit(torch.cat([lengths, binary(0.2, 100)], -1), [12.0, 0.5])
    assert found.achieved.tolist() == pytest.approx([12, 0.5])
    assert found.lambdas[0] == 0


def test_a_feature_of_a_completion_without_weight_does_not_matter():
    features = binary(0.2)
    features[0, -1] = 1e12
    weights = torch.zeros(1, 1000)
    weights[0, -1] = -torch.inf
    assert fit(features, [0.5], weights).achieved.item() == pytest.approx(0.5, abs=1e-12)
