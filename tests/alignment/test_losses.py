"""Every estimator of the gradient against autograd of the divergence, over all outcomes."""

import math
from dataclasses import replace

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.advantages import advantages
from alignment.maths.divergences import DIVERGENCES, divergence_of
from alignment.maths.losses import (
    importance,
    limited,
    rao_blackwell_loss,
    score_loss,
    surrogate_loss,
)
from alignment.models.quantisation import int8_weights
from alignment.objectives.fdpg import divergence_loss, fdpg
from alignment.objectives.problem import Problem, Scored, begin
from alignment.objectives.samples import Drawn, Pass, Term, terms_of
from alignment.objectives.steps import Lesson, backward
from alignment.objectives.toy import outcomes
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import batches, completion_token_logps
from alignment.targets.targets import Values
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_divergences import BOUNDED, EVERY, HARD, LOG_P, TABLE, id_of
from tests.alignment.test_loop import records, says_sun
from tests.cases import cases

LOG_Q = torch.tensor([0.3, 0.1, -0.4, 0.0, 0.5], dtype=torch.float64).log_softmax(0)


@pytest.fixture
def logits():
    return torch.tensor([0.2, -0.5, 0.7, 0.0, -1.1], dtype=torch.float64, requires_grad=True)


def exact(divergence, logits, log_target):
    found = divergence.divergence(logits.softmax(0), log_target.exp())
    return torch.autograd.grad(found, logits)[0]


def off_policy(divergence, logits, log_target, baseline=0.7):
    """The gradient of the score's loss, over samples of another distribution."""
    logps = logits.log_softmax(0)
    weights, _ = importance(logps.detach() - LOG_Q, 0.0)
    rho = divergence.pseudo_reward(logps.detach() - log_target)
    loss = score_loss(logps, 5 * LOG_Q.exp() * weights * (rho - baseline))
    return torch.autograd.grad(loss, logits)[0]


@TABLE
def test_old_samples_give_the_exact_gradient_by_their_weights(divergence, logits):
    target = LOG_P.log_softmax(0)
    expected = exact(divergence, logits, target)
    torch.testing.assert_close(off_policy(divergence, logits, target), expected, atol=1e-10, rtol=0)


@HARD
def test_old_samples_do_so_where_the_target_has_no_mass(divergence, logits):
    target = torch.where(torch.arange(5) == 2, -torch.inf, LOG_P).log_softmax(0)
    expected = exact(divergence, logits, target)
    torch.testing.assert_close(off_policy(divergence, logits, target), expected, atol=1e-10, rtol=0)


@TABLE
def test_the_surrogate_has_the_exact_gradient_on_policy(divergence, logits):
    target = LOG_P.log_softmax(0)
    logps = logits.log_softmax(0)
    rho = divergence.pseudo_reward(logps.detach() - target)
    loss = surrogate_loss(logps * 5 * logps.detach().exp(), rho)
    (found,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(found, exact(divergence, logits, target), atol=1e-10, rtol=0)


@TABLE
def test_the_surrogate_rests_at_the_target_whoever_sampled(divergence):
    logits = LOG_P.clone().requires_grad_()
    logps = logits.log_softmax(0)
    rho = divergence.pseudo_reward(logps.detach() - LOG_P.log_softmax(0))
    (found,) = torch.autograd.grad(surrogate_loss(logps * 5 * LOG_Q.exp(), rho), logits)
    assert found.abs().max() < 1e-12


G = {
    "forward_kl": lambda u: u + torch.exp(-u) - 1,
    "reverse_kl": lambda u: u**2 / 2,
    "total_variation": lambda u: u.abs() / 2,
    "squared_hellinger": lambda u: (u + 2 * torch.exp(-u / 2) - 2) / 2,
    "neyman_chi2": lambda u: u + torch.exp(-2 * u) / 2 - 0.5,
}


@pytest.mark.parametrize("name", G)
def test_the_surrogate_is_trajectory_balance_through_u(name, logits):
    target = LOG_P.log_softmax(0)
    (expected,) = torch.autograd.grad(G[name](logits.log_softmax(0) - target).mean(), logits)
    logps = logits.log_softmax(0)
    rho = DIVERGENCES[name].pseudo_reward(logps.detach() - target)
    (found,) = torch.autograd.grad(surrogate_loss(logps, rho), logits)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_reverse_kl_with_the_baseline_is_rloo_sample_by_sample(generator):
    """RLOO's reward is r - beta log(policy / reference); nothing of Z is left."""
    policy, reference, reward = torch.randn(3, 4, 6, dtype=torch.float64, generator=generator)
    beta, log_z = 0.3, torch.tensor([[0.1], [-2.0], [4.0], [0.0]])
    returns = reward - beta * (policy - reference)
    others = (returns.sum(1, keepdim=True) - returns) / 5
    u = policy - (reference + reward / beta) + log_z
    found = beta * advantages(DIVERGENCES["reverse_kl"].pseudo_reward(u))
    torch.testing.assert_close(found, (returns - others).flatten(), atol=1e-10, rtol=0)


def test_weights_and_pseudo_rewards_are_cut_where_asked():
    weights, cut = importance(torch.tensor([-1.0, 0.0, 2.0]), 3.0)
    assert weights.tolist() == pytest.approx([math.exp(-1), 1.0, 3.0])
    assert cut.tolist() == [False, False, True]
    assert limited(torch.tensor([-9.0, 1.0]), 2.0)[0].tolist() == [-2.0, 1.0]
    assert limited(torch.tensor([-9.0, 1.0]), 0.0)[0].tolist() == [-9.0, 1.0]


# A whole language model: four tokens, completions of up to three.


@pytest.fixture
def tiny():
    policy = tiny_policy(vocabulary=4)
    policy.model.double()
    return policy, outcomes([[3, 2]], vocabulary=4, length=3, ends=policy.ends)


def gradients(model):
    found = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    return found


def close(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def some_energies(rollouts, *, zeros):
    """An energy of every outcome, some of them impossible where asked."""
    energies = 2 * torch.arange(len(rollouts.prompts), dtype=torch.float64).cos()
    return (
        energies.masked_fill(torch.arange(len(energies)) % 3 == 1, -torch.inf)
        if zeros
        else energies
    )


def all_outcomes(policy, rollouts, energies, term):
    """Every outcome once, as if drawn from a uniform sampler."""
    n = len(rollouts.prompts)
    logps = torch.zeros(rollouts.mask.shape, dtype=torch.float64)
    logps[:, 0] = -math.log(n)
    drawn = Rollouts(rollouts.prompts, rollouts.tokens, rollouts.mask, logps, rollouts.truncated)
    reference = completion_token_logps(policy.model, rollouts).detach()
    weights = reference.sum(1) + energies - drawn.logps
    log_z = (reference.sum(1) + energies).logsumexp(0, keepdim=True)
    values = Values(energies, *[torch.zeros(n, 0)] * 3)
    scored = Scored(drawn, values, reference, weights)
    known, owners = torch.tensor([True]), torch.tensor([0])
    return Drawn(term, scored, log_z, known, log_z - weights[None], owners, fresh=0)


def without_baseline(problem, state, drawn):
    """Add the gradient of f-DPG's loss, as each of all outcomes knows the others."""
    rated = divergence_loss(problem, drawn, torch.zeros_like(drawn.u).flatten(), {})
    return backward(state, Lesson(drawn, rated))


def loop(policy, folder, **settings):
    """A problem and a state around the tiny model."""
    tiny_policy().save(folder)
    config = AlignConfig(**settings)
    problem = Problem(records(1), folder, policy, says_sun, config)
    policy.model.requires_grad_(True)
    state = begin(Problem(records(1), folder, tiny_policy(), says_sun, config))
    state.policy = policy
    return problem, state


def exact_on_model(policy, rollouts, drawn, divergence, temperature=1.0):
    target = (drawn.scored.reference_logps + drawn.scored.values.rewards).log_softmax(0)
    logps = completion_token_logps(policy.model, rollouts, temperature=temperature).sum(1)
    divergence.divergence(logps.exp(), target.exp()).backward()
    return gradients(policy.model)


@cases(
    ("row", "zeros"),
    [*((row, False) for row in EVERY), *((row, True) for row in BOUNDED)],
    ids=lambda value: id_of(value) if isinstance(value, dict) else str(value),
    quick=[(EVERY[0], False), (EVERY[-1], False), (BOUNDED[0], True)],
)
def test_old_samples_give_the_exact_gradient_on_a_language_model(tiny, tmp_path, row, zeros):
    divergence = divergence_of(AlignConfig(**row))
    policy, rollouts = tiny
    problem, state = loop(policy, tmp_path, **row)
    energies = some_energies(rollouts, zeros=zeros)
    drawn = all_outcomes(policy, rollouts, energies, Term())
    expected = exact_on_model(policy, rollouts, drawn, divergence)
    without_baseline(problem, state, drawn)
    close(gradients(policy.model), expected)


def test_fresh_samples_weigh_by_their_advantage(tiny, tmp_path):
    policy, rollouts = tiny
    problem, state = loop(policy, tmp_path, divergence="reverse_kl")
    drawn = all_outcomes(policy, rollouts, some_energies(rollouts, zeros=False), Term())
    drawn = replace(drawn, fresh=drawn.u.numel())
    expected = advantages(-drawn.u)
    rated = fdpg(problem, state, drawn)
    for batch in batches(problem.reference.model, drawn.scored.rollouts, tokens=20):
        logps = torch.zeros(batch.mask.shape, dtype=torch.float64, requires_grad=True)
        loss, _ = rated.loss(Pass(batch, logps[..., None], logps, logps - logps.detach()))
        (found,) = torch.autograd.grad(loss, logps)
        weights = -len(batch.rows) * found[:, 0]
        torch.testing.assert_close(weights, expected[batch.rows], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_the_deployed_policy_has_its_own_exact_gradient(tiny, tmp_path, temperature):
    policy, rollouts = tiny
    problem, state = loop(policy, tmp_path)
    term = Term(1.0, temperature, int8=True)
    energies = some_energies(rollouts, zeros=True)
    divergence = DIVERGENCES["jensen_shannon"]
    drawn = all_outcomes(policy, rollouts, energies, term)
    with int8_weights(policy.model):
        expected = exact_on_model(policy, rollouts, drawn, divergence, temperature)
    without_baseline(problem, state, drawn)
    close(gradients(policy.model), expected)


def test_at_temperature_one_both_terms_are_one_plus_omega_divergences(tiny, tmp_path):
    policy, rollouts = tiny
    problem, state = loop(policy, tmp_path, inference_weight=0.6)
    energies = some_energies(rollouts, zeros=False)
    divergence = DIVERGENCES["jensen_shannon"]
    for term in terms_of(problem.config):
        drawn = all_outcomes(policy, rollouts, energies, term)
        without_baseline(problem, state, drawn)
    found = gradients(policy.model)
    expected = exact_on_model(policy, rollouts, drawn, divergence)
    close(found, [1.6 * gradient for gradient in expected])


@pytest.mark.parametrize("length", [1, 3])
def test_the_rao_blackwell_loss_has_the_exact_gradient_of_reverse_kl(length):
    policy = tiny_policy(vocabulary=4)
    model, reference = policy.model.double(), tiny_policy(vocabulary=4, seed=1).model.double()
    every = outcomes([[3, 2]], vocabulary=4, length=length, ends=policy.ends)
    energies = some_energies(every, zeros=False)
    base = completion_token_logps(reference, every).sum(1).detach()
    logps = completion_token_logps(model, every)
    chances = logps.sum(1).exp()
    target = (base + energies).log_softmax(0)
    DIVERGENCES["reverse_kl"].divergence(chances, target.exp()).backward()
    expected = gradients(model)
    logps = completion_token_logps(model, every)
    kls = token_kls(model, reference, every)
    each = [
        rao_blackwell_loss(logps[i : i + 1], kls[i : i + 1], energies[i : i + 1] - 0.4)
        for i in range(len(base))
    ]
    (torch.stack(each) * chances.detach()).sum().backward()
    close(gradients(model), expected)


def token_kls(model, reference, rollouts):
    """KL of the next token at every place of a completion, by one plain forward, with gradient."""
    start = len(rollouts.prompts[0])
    ids = torch.cat([torch.tensor(rollouts.prompts), rollouts.tokens], 1)
    one, other = (m(ids).logits[:, start - 1 : -1].log_softmax(-1) for m in (model, reference))
    return (one.exp() * (one - other.detach())).sum(-1) * rollouts.mask


def test_int8_weights_are_there_only_inside(policy):
    before = {name: weight.clone() for name, weight in policy.model.named_parameters()}
    with int8_weights(policy.model):
        inside = {name: weight.clone() for name, weight in policy.model.named_parameters()}
    name = "transformer.h.0.mlp.c_fc.weight"
    levels = inside[name] / (inside[name].abs().amax(0) / 127)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert not torch.equal(inside[name], before[name])
    assert torch.equal(inside["transformer.wte.weight"], before["transformer.wte.weight"])
    after = dict(policy.model.named_parameters())
    assert all(torch.equal(after[name], before[name]) for name in before)
