"""Every divergence: zero at equality, exact gradients, honest estimates."""

import math

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.divergences import DivergenceName
from alignment.maths.advantages import advantages
from alignment.maths.divergences import DIVERGENCES, above_tangent, alpha, divergence_of
from alignment.maths.losses import score_loss

ALPHAS = (-1.0, -0.5, 0.25, 0.5, 0.75, 1.5, 2.0)
ROWS = [*DIVERGENCES.items(), *((f"alpha({a})", alpha(a)) for a in ALPHAS)]
TABLE = pytest.mark.parametrize("divergence", [d for _, d in ROWS], ids=[n for n, _ in ROWS])
HARD = pytest.mark.parametrize(
    "divergence",
    [d for _, d in ROWS if d.limit < math.inf],
    ids=[n for n, d in ROWS if d.limit < math.inf],
)
NAMED: list[dict] = [{"divergence": name} for name in DIVERGENCES]
EVERY = [*NAMED, *({"divergence": "alpha", "alpha": order} for order in ALPHAS)]  # as settings
BOUNDED = [row for row in EVERY if divergence_of(AlignConfig(**row)).limit < math.inf]
LOG_P = torch.tensor([-0.3, 0.9, -1.2, 0.4, 0.1], dtype=torch.float64)


def id_of(row):
    return f"{row['divergence']}{row.get('alpha', '')}"


@pytest.fixture
def logits():
    return torch.tensor([0.2, -0.5, 0.7, 0.0, -1.1], dtype=torch.float64, requires_grad=True)


@TABLE
def test_divergence_and_pseudo_reward_vanish_at_equality(divergence):
    p = LOG_P.softmax(0)
    assert divergence.divergence(p, p).abs() < 1e-15
    assert divergence.pseudo_reward(torch.zeros(1)).item() == pytest.approx(0)


@TABLE
def test_pseudo_reward_is_the_centred_derivative_of_f(divergence):
    u = torch.tensor([-2.0, -0.7, 0.4, 1.5], dtype=torch.float64)
    t = torch.cat([u.exp(), torch.ones(1)]).requires_grad_()
    (slopes,) = torch.autograd.grad(divergence.f(t).sum(), t)
    middle = 0 if divergence is DIVERGENCES["total_variation"] else slopes[-1]  # its kink
    torch.testing.assert_close(divergence.pseudo_reward(u), middle - slopes[:-1])


@TABLE
def test_loss_has_the_exact_gradient_on_a_categorical(divergence, logits):
    target = LOG_P.softmax(0)
    exact = divergence.divergence(logits.softmax(0), target)
    (expected,) = torch.autograd.grad(exact, logits)
    logps = logits.log_softmax(0)
    rho = divergence.pseudo_reward(logps.detach() - target.log())
    loss = score_loss(logps, len(rho) * logps.detach().exp() * rho)  # its mean over 5 outcomes
    (found,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@HARD
def test_gradient_is_exact_where_the_target_has_no_mass(divergence, logits):
    log_target = torch.where(torch.arange(5) == 2, -torch.inf, LOG_P).log_softmax(0)
    exact = divergence.divergence(logits.softmax(0), log_target.exp())
    (expected,) = torch.autograd.grad(exact, logits)
    logps = logits.log_softmax(0)
    rho = divergence.pseudo_reward(logps.detach() - log_target)
    (found,) = torch.autograd.grad(score_loss(logps, 5 * logps.detach().exp() * rho), logits)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


@TABLE
def test_leave_one_out_baseline_leaves_the_gradient_unbiased(divergence, logits):
    """Over all ordered pairs of samples the loss's expected gradient is the divergence's."""
    target = LOG_P.softmax(0)
    (expected,) = torch.autograd.grad(divergence.divergence(logits.softmax(0), target), logits)
    logps = logits.log_softmax(0)
    rho = divergence.pseudo_reward(logps.detach() - target.log())
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    chance = logps.detach().exp()[pairs].prod(1, keepdim=True)
    weights = advantages(rho[pairs]).view(25, 2) * chance * 25
    (found,) = torch.autograd.grad(score_loss(logps[pairs], weights), logits)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_the_baseline_is_the_mean_of_the_same_prompt_s_other_samples():
    rho = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    assert advantages(rho).tolist() == [-3.0, -1.5, 4.5, -1.5, -1.5, 3.0]


@TABLE
def test_terms_average_to_the_divergence(divergence):
    policy, target = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.2, 0.2, 0.6]).double()
    terms = divergence.terms(policy.log() - target.log())
    expected = divergence.divergence(policy, target)
    torch.testing.assert_close((policy * terms).sum(), expected)


@HARD
def test_terms_count_mass_where_the_target_has_none(divergence):
    policy, target = torch.tensor([0.6, 0.4]).double(), torch.tensor([1.0, 0.0]).double()
    terms = divergence.terms(policy.log() - target.log())
    expected = divergence.divergence(policy, target)
    torch.testing.assert_close((policy * terms).sum(), expected)


def test_known_values():
    p, q = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.5, 0.5]).double()
    assert DIVERGENCES["reverse_kl"].divergence(p, q).item() == pytest.approx(math.log(2))
    assert DIVERGENCES["total_variation"].divergence(p, q).item() == pytest.approx(0.5)
    disjoint = DIVERGENCES["jensen_shannon"].divergence(p, p.flip(0)).item()
    assert disjoint == pytest.approx(math.log(2))
    assert DIVERGENCES["reverse_kl"].divergence(p, p.flip(0)).item() == math.inf


def test_terms_stay_numbers_however_far_the_policy_is():
    u = torch.tensor([-1e5, -1.0, 0.0, 50.0, 1e5, torch.inf])
    terms = DIVERGENCES["jensen_shannon"].terms(u)
    half = 0.5 * math.log(2)  # of the policy where the target has no mass
    assert terms[1:].tolist() == pytest.approx([0.20626, 0, *3 * [half]], abs=1e-4)
    assert terms.isfinite().all()


def ratios(divergence) -> torch.Tensor:
    """u from -30 to 30, close to 0 from both sides, and where the target has no mass."""
    far = torch.linspace(-30, 30, 2401, dtype=torch.float64)
    near = torch.logspace(-17, 0, 400, dtype=torch.float64)
    return torch.cat(
        [far, near, -near, torch.tensor([0.0, torch.inf] if divergence.limit < math.inf else [0.0])]
    )


@TABLE
def test_no_sample_s_estimate_of_a_divergence_is_negative(divergence):
    terms = divergence.terms(ratios(divergence))
    assert (terms >= 0).all()
    assert terms.isfinite().all()


@TABLE
def test_estimates_are_what_their_form_says(divergence):
    u = torch.linspace(-30, 30, 61, dtype=torch.float64)[torch.arange(61) != 30]
    t = u.exp()
    above, below = (
        divergence.f(torch.tensor(one, dtype=torch.float64)) for one in (1 + 1e-6, 1 - 1e-6)
    )
    slope = (above - below) / 2e-6
    if divergence is DIVERGENCES["total_variation"]:
        slope = -0.5  # of its tangents the one that bounds the estimate
    expected = (divergence.f(t) - slope * (t - 1)) / t
    torch.testing.assert_close(divergence.terms(u), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("order", [-3, -1e-5, 1e-5, 0.999999, 1.000002, 3])
def test_no_estimate_near_another_divergence_is_negative(order):
    terms = alpha(order).terms(ratios(alpha(order)))
    assert (terms >= 0).all()


def test_the_estimate_of_a_kl_is_never_negative_in_single_precision():
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.logspace(-9, 0, 999)])
    assert (above_tangent(x) >= 0).all()
    assert (above_tangent(-x) >= 0).all()


def test_alpha_meets_its_namesakes():
    assert alpha(1.0) is DIVERGENCES["reverse_kl"]
    assert alpha(1e-9) is DIVERGENCES["forward_kl"]
    u = torch.linspace(-1, 1, 5)
    hellinger = DIVERGENCES["squared_hellinger"].pseudo_reward(u)
    torch.testing.assert_close(alpha(0.5).pseudo_reward(u), 4 * hellinger)


def test_every_divergence_of_the_form_is_in_the_table():
    assert set(DivergenceName.__args__) == {*DIVERGENCES, "alpha"}
