"""Expected information of comparisons, against what it is by its definition, and orders against brute force."""

from math import log

import pytest
import torch

from alignment.maths.acquisition import (
    design_order,
    ensemble_order,
    precision,
    preference_entropy,
    preference_information,
)


@pytest.fixture(params=range(4))
def margins(request):
    generator = torch.Generator().manual_seed(request.param)
    return 2 * torch.randn(9, 5, generator=generator, dtype=torch.float64)


def mutual_information(row):
    """Of a head that is drawn evenly and of what it prefers, from their joint distribution."""
    chances = [1 / (1 + 2.718281828459045 ** -float(one)) for one in row]
    joint = [(p / len(chances), (1 - p) / len(chances)) for p in chances]
    whole = [sum(column) for column in zip(*joint, strict=True)]
    return sum(
        cell * log(cell / (total / len(chances)))
        for both in joint
        for cell, total in zip(both, whole, strict=True)
    )


def test_information_is_that_of_head_and_preference(margins):
    expected = [mutual_information(row) for row in margins]
    assert preference_information(margins).tolist() == pytest.approx(expected, abs=1e-12)


def test_heads_that_agree_have_nothing_to_learn_however_unsure_they_are():
    assert preference_information(torch.zeros(1, 4)).item() == pytest.approx(0, abs=1e-12)
    assert preference_information(torch.full((1, 4), 3.0)).item() == pytest.approx(0, abs=1e-12)
    apart = torch.tensor([[-800.0, 800.0]])
    assert preference_information(apart).item() == pytest.approx(log(2))


def test_entropy_is_that_of_the_chance():
    found = preference_entropy(torch.tensor([0.0, log(3), -log(3), 900.0]).double())
    half = 0.75 * log(4 / 3) + 0.25 * log(4)
    assert found.tolist() == pytest.approx([log(2), half, half, 0.0])


def joint_information(margins, rows):
    """1/2 log det(I + sqrt(w) C sqrt(w)), with the covariance of the margins as torch has it."""
    some = margins[rows]
    weights = precision(some).sqrt()
    covariance = torch.atleast_2d(torch.cov(some))
    inner = torch.eye(len(rows)).double() + weights[:, None] * covariance * weights
    return torch.logdet(inner).item() / 2


def test_each_next_comparison_adds_most_to_what_all_tell_together(margins):
    found = ensemble_order(margins, 4)
    for size, row in enumerate(found):
        rest = [one for one in range(9) if one not in found[:size]]
        best = max(joint_information(margins, [*found[:size], one]) for one in rest)
        assert joint_information(margins, [*found[:size], row]) == pytest.approx(best)


def test_a_copy_comes_after_what_is_new():
    one, other = [4.0, -4.0, 0.0, 0.0], [0.0, 0.0, 3.0, -3.0]
    copies = torch.tensor([one, one, one, other])
    assert preference_information(copies).argmax().item() != 3  # by itself each copy tells more
    assert 3 in ensemble_order(copies, 2)


def test_a_direction_that_is_known_is_not_asked_about_first():
    contrasts = torch.tensor([[1.0, 0.0], [0.0, 0.9]])
    open_ = torch.zeros(2, 3)
    nothing = contrasts[:0], open_[:0]
    assert design_order(contrasts, open_, 2, nothing) == [0, 1]
    assert design_order(contrasts, open_, 2, (contrasts[:1], open_[:1])) == [1, 0]


def test_what_is_decided_already_tells_little():
    contrasts = torch.tensor([[1.0, 0.0], [0.0, 0.9]])
    margins = torch.tensor([[9.0], [0.1]])
    assert design_order(contrasts, margins, 1, (contrasts[:0], margins[:0])) == [1]
