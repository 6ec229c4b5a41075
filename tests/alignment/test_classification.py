"""The figures of classifiers, equal to scikit-learn's on random tables."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score

from alignment.maths.classification import (
    accuracy,
    auc,
    bootstrapped,
    calibration_error,
    confusion,
    f1_by_class,
    macro_auc,
    macro_f1,
)
from alignment.maths.losses import class_loss
from tests.cases import cases


def a_table(seed):
    """Classes that were said, probabilities, and weights, of a random number of rows and classes."""
    coin = torch.Generator().manual_seed(seed)
    rows, classes = (
        int(torch.randint(low, high, (1,), generator=coin)) for low, high in ((20, 90), (2, 6))
    )
    said = torch.randint(classes, (rows,), generator=coin)
    logits = torch.randn(rows, classes, generator=coin, dtype=torch.float64)
    logits = logits.mul(4).round().div(4)  # some scores are alike
    logits[torch.arange(rows), said] += 0.5
    return said, logits.softmax(1), torch.randint(0, 4, (rows,), generator=coin)


@cases("seed", range(20), quick=range(4))
def test_figures_equal_scikit_learns(seed):
    said, chances, weights = a_table(seed)
    told, classes = chances.argmax(1), chances.shape[1]
    for how in (weights, torch.ones(len(said))):
        table = confusion(said, told, classes, how)
        given = {"sample_weight": how.numpy()}
        labels = list(range(classes))
        assert (table.numpy() == confusion_matrix(said, told, labels=labels, **given)).all()
        assert accuracy(table) == pytest.approx(accuracy_score(said, told, **given), abs=1e-12)
        there = sorted({*said[how > 0].tolist(), *told[how > 0].tolist()})
        wanted = f1_score(said, told, labels=there, average="macro", **given)
        assert macro_f1(table) == pytest.approx(wanted, abs=1e-12)
        for k in range(classes):
            wanted = roc_auc_score(said == k, chances[:, k], **given)
            assert auc(chances[:, k], said == k, how) == pytest.approx(wanted, abs=1e-12)
    scores = chances if classes > 2 else chances[:, 1]
    wanted = roc_auc_score(said, scores, multi_class="ovr")
    assert macro_auc(chances, said, torch.ones(len(said))) == pytest.approx(wanted, abs=1e-12)


def test_what_cannot_be_told_is_no_number():
    alike = torch.ones(3, dtype=torch.bool)
    assert math.isnan(auc(torch.arange(3.0), alike, torch.ones(3)))
    table = confusion(torch.tensor([0, 0]), torch.tensor([0, 2]), 3, torch.ones(2))
    assert f1_by_class(table).isnan().tolist() == [False, True, False]
    assert bootstrapped(lambda _weights: math.nan, ["a"], torch.Generator()) is None


def test_calibration_is_the_distance_of_probability_and_truth():
    sure = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.35, 0.65]]).double()
    said = torch.tensor([0, 1, 1, 1])
    assert calibration_error(sure, said, torch.ones(4)) == pytest.approx((0.8 + 0.7) / 4)
    fair = torch.full((1000, 2), 0.5).double()
    half = torch.arange(1000) % 2
    assert calibration_error(fair, half, torch.ones(1000)) == pytest.approx(0)


def test_an_interval_is_over_groups_and_covers():
    coin = torch.Generator().manual_seed(3)
    inside = 0
    for _ in range(40):
        groups = [row // 4 for row in range(120)]
        means = torch.rand(30, generator=coin).repeat_interleave(4)  # rows of a group are alike
        found = bootstrapped(lambda w, m=means: float((w * m).sum() / w.sum()), groups, coin)
        assert found.n == 30
        inside += found.low <= 0.5 <= found.high
    assert inside >= 34  # of 40, where 95 % should


def test_one_group_has_no_interval():
    found = bootstrapped(lambda weights: float(weights.mean()), ["a"] * 5, torch.Generator())
    assert (found.value, found.low, found.high, found.n) == (1.0, None, None, 1)


def test_the_loss_falls_along_probabilities_less_shares():
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shares = torch.rand(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shares = shares / shares.sum(1, keepdim=True)
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(class_loss(logits, shares).sum(), logits)
    torch.testing.assert_close(slope, logits.softmax(1) - shares)
