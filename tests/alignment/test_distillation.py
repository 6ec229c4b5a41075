"""The losses of distillation, beside formulas that do not use them."""

import pytest
import torch
import torch.nn.functional as F

from alignment.maths.distillation import rewards_beside_teacher, soft_losses
from alignment.maths.divergences import DIVERGENCES


@pytest.fixture
def logits():
    """Teacher's and student's (5, 11), and tokens."""
    generator = torch.Generator().manual_seed(0)
    known, told = torch.randn(2, 5, 11, generator=generator, dtype=torch.float64) * 2
    return known, told.requires_grad_(), torch.tensor([0, 3, 10, 7, 7])


def slope(loss, logits):
    return torch.autograd.grad(loss.sum(), logits)[0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_loss_is_the_scaled_kl_of_the_softened_chances(logits, temperature):
    known, told, tokens = logits
    found = soft_losses(told, known, tokens, temperature)
    p, q = (one / temperature for one in (known, told))
    expected = F.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="none").sum(-1)
    torch.testing.assert_close(found.divergence, temperature**2 * expected)
    expected = -told.softmax(-1)[torch.arange(5), tokens].log()
    torch.testing.assert_close(found.entropy, expected)
    softened = temperature * (q.softmax(-1) - p.softmax(-1))
    torch.testing.assert_close(slope(found.divergence, told), softened)


def test_the_gradient_becomes_that_of_matching_logits_as_it_grows_hot(logits):
    """Half the squared distance of the centred logits, over the vocabulary."""
    known, told, tokens = logits

    def centred(one):
        return one - one.mean(-1, keepdim=True)

    matching = slope((centred(told) - centred(known)).square().sum(-1) / (2 * 11), told)
    off = []
    for temperature in (10.0, 100.0, 1000.0):
        found = slope(soft_losses(told, known, tokens, temperature).divergence, told)
        off.append(((found - matching).norm() / matching.norm()).item())
    assert off[0] > 5 * off[1] > 25 * off[2]
    assert off[2] < 5e-3


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_a_student_that_is_its_teacher_loses_nothing_and_learns_nothing(logits, temperature):
    known, _told, tokens = logits
    same = known.clone().requires_grad_()
    loss = soft_losses(same, known, tokens, temperature).divergence
    assert loss.abs().max() < 1e-12
    assert slope(loss, same).abs().max() < 1e-12


@pytest.mark.parametrize("name", DIVERGENCES)
def test_answers_are_worth_nothing_where_both_are_the_same(name):
    divergence = DIVERGENCES[name]
    assert (rewards_beside_teacher(torch.zeros(3, 4), divergence) == 0).all()
    worth = rewards_beside_teacher(torch.tensor([[0.5, -1.0, 0.2]]), divergence)
    torch.testing.assert_close(worth.sum(), torch.tensor(0.0))  # of a prompt's answers
