"""Likelihoods of labels: probabilities that sum to 1, hand values, and other libraries' fits."""

import math
from itertools import permutations

import choix
import pandas as pd
import pytest
import torch
from crowdkit.aggregation import OneCoinDawidSkene
from scipy.stats import spearmanr

from alignment.maths.likelihoods import (
    annotator_prior,
    bradley_terry_nll,
    davidson_nll,
    lapsed_nll,
    plackett_luce_nll,
    rao_kupper_nll,
    ratings_nll,
    rising,
    thumbs_nll,
)

MARGINS = torch.tensor([-30.0, -1.3, 0.0, 0.4, 5.0, 30.0], dtype=torch.float64)
TIE = torch.tensor(-0.3, dtype=torch.float64)


def fitted(loss, *shapes):
    """The parameters that minimise a loss, by L-BFGS from zero."""
    free = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    search = torch.optim.LBFGS(
        free,
        max_iter=500,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure():
        search.zero_grad()
        value = loss(*free)
        value.backward()
        return value

    search.step(closure)
    return [parameter.detach() for parameter in free]


def test_bradley_terry_is_choix_s():
    draws = torch.Generator().manual_seed(0)
    truth = torch.linspace(-1, 1, 6, dtype=torch.float64)
    pairs = torch.tensor(list(permutations(range(6), 2))).repeat(10, 1)
    wins = torch.rand(len(pairs), generator=draws) < torch.sigmoid(
        truth[pairs[:, 0]] - truth[pairs[:, 1]]
    )
    pairs = torch.where(wins[:, None], pairs, pairs.flip(1))
    (found,) = fitted(lambda r: bradley_terry_nll(r[pairs[:, 0]] - r[pairs[:, 1]]).sum(), 6)
    expected = torch.from_numpy(choix.opt_pairwise(6, pairs.tolist(), tol=1e-12))
    torch.testing.assert_close(found - found.mean(), expected - expected.mean(), atol=1e-6, rtol=0)


def test_a_strong_label_counts_as_several():
    margins = torch.tensor([0.7, 0.7, 0.7])
    once = bradley_terry_nll(margins).sum()
    assert bradley_terry_nll(margins[:1], torch.tensor([3.0])).sum() == pytest.approx(once.item())


@pytest.mark.parametrize("nll", [davidson_nll, rao_kupper_nll])
def test_the_three_outcomes_sum_to_one(nll):
    chances = [nll(MARGINS, torch.full((6,), o), TIE).neg().exp() for o in (-1, 0, 1)]
    torch.testing.assert_close(sum(chances), torch.ones(6, dtype=torch.float64))
    right = nll(-MARGINS, torch.ones(6), TIE).neg().exp()  # seen from the other side
    torch.testing.assert_close(chances[0], right)


def test_davidson_by_hand():
    chances = davidson_nll(torch.zeros(2), torch.tensor([0, 1]), torch.tensor(math.log(2.0)))
    assert chances.neg().exp().tolist() == pytest.approx([0.5, 0.25])


def test_rao_and_kupper_by_hand():
    tie = torch.tensor(math.log(math.e - 1))  # a threshold of 1
    left = rao_kupper_nll(torch.tensor([1.0]), torch.tensor([1]), tie)
    assert left.neg().exp().item() == pytest.approx(0.5)


def test_far_margins_stay_finite():
    far = torch.tensor([-1e4, 1e4])
    for nll in (davidson_nll, rao_kupper_nll):
        assert nll(far, torch.zeros(2), TIE.float()).isfinite().all()
        assert nll(far, torch.ones(2), TIE.float()).isfinite().all()


def strict(count, places):
    """Ranks and mask of full rankings without equal ranks."""
    return torch.arange(places).expand(count, -1), torch.ones(count, places, dtype=torch.bool)


def test_rankings_of_all_orders_sum_to_one():
    scores = torch.tensor([0.3, -1.0, 2.0, 0.0])
    orders = torch.tensor(list(permutations(range(4))))
    losses = plackett_luce_nll(scores[orders], *strict(24, 4))
    assert losses.neg().exp().sum().item() == pytest.approx(1)


def test_a_ranking_of_two_is_a_pair_whatever_fills_the_row():
    scores = torch.tensor([[0.3, -1.0, 99.0]])
    loss = plackett_luce_nll(scores, torch.arange(3)[None], torch.tensor([[True, True, False]]))
    torch.testing.assert_close(loss, bradley_terry_nll(torch.tensor([1.3])))


def test_equal_ranks_say_nothing_of_each_other():
    """Two firsts that each beat the third: sigma(1.3) sigma(0.3), whatever they are to each other."""
    scores, ranks = torch.tensor([[0.3, -0.7, -1.0]]), torch.tensor([[0, 0, 1]])
    loss = plackett_luce_nll(scores, ranks, torch.ones(1, 3, dtype=torch.bool))
    expected = bradley_terry_nll(torch.tensor([1.3])) + bradley_terry_nll(torch.tensor([0.3]))
    torch.testing.assert_close(loss, expected)


def test_plackett_luce_is_choix_s():
    draws = torch.Generator().manual_seed(1)
    truth = torch.linspace(1, -1, 5, dtype=torch.float64)
    noise = -torch.log(-torch.log(torch.rand(60, 5, generator=draws, dtype=torch.float64)))
    orders = (truth + noise).argsort(1, descending=True)
    (found,) = fitted(lambda r: plackett_luce_nll(r[orders], *strict(60, 5)).sum(), 5)
    expected = torch.from_numpy(choix.opt_rankings(5, orders.tolist(), tol=1e-12))
    torch.testing.assert_close(found - found.mean(), expected - expected.mean(), atol=1e-6, rtol=0)


def test_thumbs_say_the_sign():
    chances = thumbs_nll(torch.tensor([2.0, 2.0]), torch.tensor([True, False])).neg().exp()
    assert chances.tolist() == pytest.approx([0.880797, 0.119203], abs=1e-6)


def test_ratings_sum_to_one_and_are_logistic_between_cuts():
    cuts = rising(torch.tensor([-1.0, 0.5, 0.2, -0.7], dtype=torch.float64))
    scores = torch.tensor([0.4, -3.0, 40.0], dtype=torch.float64)
    chances = torch.stack(
        [ratings_nll(scores, torch.full((3,), k), cuts).neg().exp() for k in range(5)]
    )
    torch.testing.assert_close(chances.sum(0), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(chances[:2].sum(0), torch.sigmoid(cuts[1] - scores))


def test_ratings_have_finite_gradients_at_the_ends():
    scores = torch.tensor([0.0, 0.0], requires_grad=True)
    ratings_nll(scores, torch.tensor([0, 2]), torch.tensor([-1.0, 1.0])).sum().backward()
    assert scores.grad.tolist() == pytest.approx([0.731059, -0.731059], abs=1e-5)


def test_an_annotator_by_hand():
    one = torch.ones(2)
    signs = torch.tensor([1.0, -1.0])
    losses = lapsed_nll(bradley_terry_nll(signs * (2 * one - 2)), 0.2 * one, 2)
    assert losses.neg().exp().tolist() == pytest.approx([0.5, 0.5])
    sure = lapsed_nll(bradley_terry_nll(50 * signs), 0.2 * one, 2)
    assert sure.neg().exp().tolist() == pytest.approx([0.9, 0.1])


def test_the_priors_by_hand():
    zero, usual = torch.zeros(1), torch.tensor([math.log(0.05 / 0.95)])
    at = annotator_prior(zero, zero, usual), annotator_prior(zero + 0.7, zero, usual)
    more = annotator_prior(zero, zero + 0.5, usual), annotator_prior(zero, zero, usual + 1)
    assert [value.item() for value in at + more] == pytest.approx([0, 0.5, 0.5, 0.5])


@pytest.fixture(scope="module")
def crowd():
    """The same 300 pairs seen by twelve annotators, careless to sharp; one likes the left."""
    draws = torch.Generator().manual_seed(4)
    worth = torch.randn(30, generator=draws, dtype=torch.float64)
    scales = torch.linspace(0.1, 3.0, 12, dtype=torch.float64)
    sides = torch.zeros(12, dtype=torch.float64)
    sides[5] = 1.5
    left = torch.randint(30, (300,), generator=draws)
    right = (left + 1 + torch.randint(29, (300,), generator=draws)) % 30
    who, left, right = torch.arange(12).repeat_interleave(300), left.repeat(12), right.repeat(12)
    chances = torch.sigmoid(scales[who] * (worth[left] - worth[right]) + sides[who])
    won = torch.rand(len(who), generator=draws, dtype=torch.float64) < chances
    return scales, who, left, right, won


@pytest.fixture(scope="module")
def careful(crowd):
    """Our own fit: worth, scales, sides and lapses, with their priors."""
    _, who, left, right, won = crowd

    def loss(worth, log_scales, sides, lapses):
        margins = worth[left] - worth[right]
        rates = torch.sigmoid(lapses - 3)[who]
        signs = torch.where(won, 1.0, -1.0)
        seen = signs * (log_scales.exp()[who] * margins + sides[who])
        each = lapsed_nll(bradley_terry_nll(seen), rates, 2)
        return each.sum() + annotator_prior(log_scales, sides, lapses - 3) + (worth**2).sum() / 2

    return fitted(loss, 30, 12, 12, 12)


def test_reliabilities_rank_annotators_as_the_truth_does(crowd, careful):
    assert spearmanr(careful[1], crowd[0]).statistic >= 0.9


def test_crowd_kit_ranks_them_alike(crowd, careful):
    """By Dawid and Skene's one coin: its noisy Bradley-Terry has a gradient that is not its loss's."""
    scales, who, left, right, won = crowd
    frame = {"worker": who, "task": left * 30 + right, "label": won.long()}
    other = OneCoinDawidSkene(n_iter=100)
    other.fit(pd.DataFrame({name: column.numpy() for name, column in frame.items()}))
    skills = [other.skills_[annotator] for annotator in range(12)]
    assert spearmanr(skills, scales).statistic >= 0.9
    assert spearmanr(skills, careful[1]).statistic >= 0.9


def test_a_liking_for_one_side_is_found(careful):
    sides = careful[2]
    assert sides.argmax() == 5
    assert sides[5] == pytest.approx(1.5, abs=0.5)
