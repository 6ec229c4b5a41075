"""Receipts: what a run computes, checked on a toy where the right answer is known.

Every draw of two completions that a step can make of the toy's prompts is made, and its loss weighed
by the draw's chance: the sum is the gradient that the run's samples have in expectation. It goes the
run's own way, by `score`, `learn_z`, `placed`, the objective and `backward`, with its divergence, its
estimator and all parts of its target. Beside it stands automatic differentiation of D_f by its
definition, over all outcomes. The toy has other texts and rewards than the run, and other weights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor

from alignment.config import AlignConfig
from alignment.divergences import divergence_of
from alignment.objectives.problem import Problem, State, learn_z, score
from alignment.objectives.samples import Drawn, Term, placed, terms_of
from alignment.objectives.steps import backward
from alignment.objectives.table import OBJECTIVES
from alignment.policies import Policy
from alignment.records import Receipts
from alignment.scoring import completion_token_logps
from alignment.toy import Listing, listing, toy_policy, toy_problem, toy_state

WORDS, LENGTH = 2, 2  # of the toy: seven outcomes for a prompt, 28 pairs of them
HUGE = 1e300
COARSE = 0.1  # nats per token that half precision may lose between sampler and scorer
LAMBDAS = (0.7, -0.4)  # of its features
OF_DIVERGENCE = ("fdpg", "rloo")  # objectives whose gradient is that of a divergence


def receipts(config: AlignConfig) -> Receipts:
    """The exactness of these settings' gradient, and of the sum of all probabilities, on the toy.

    Limits of weights and of pseudo-rewards, which bias the gradient on purpose, are left out.
    """
    return _receipts(on_the_toy(config))


def with_contract(checked: Receipts, state: State) -> Receipts:
    """Receipts with how far the sampler's log-probabilities were from the scorer's in any step."""
    precise = torch.finfo(state.policy.model.dtype).eps < 1e-6
    tolerance = Receipts.model_fields["tolerance"].default if precise else COARSE
    return checked.model_copy(update={"mismatch": state.mismatch, "tolerance": tolerance})


def worst(found: Iterable[Receipts]) -> Receipts:
    """The receipts of several agents as those of one: every number is the largest."""
    each = list(found)
    gradients = [one.gradient for one in each if one.gradient is not None]
    mismatches = [one.mismatch for one in each if one.mismatch is not None]
    return Receipts(
        gradient=max(gradients, default=None),
        total=max(one.total for one in each),
        mismatch=max(mismatches, default=None),
        tolerance=max(one.tolerance for one in each),
    )


def on_the_toy(config: AlignConfig) -> AlignConfig:
    """What of the settings decides the gradient, with texts that the toy can write."""
    kept = ("objective", "divergence", "alpha", "estimator", "beta", "reward_weight", "soften")
    served = ("inference_weight", "inference_temperature", "inference_weights")
    said: dict[str, Any] = {
        "must_contain": "a",
        "must_match": "b",
        "share_of": "b a",
        "length_mean": 1.5,
    }
    rules = [f"{rule.weight} {rule.name} {'a' if rule.text else ''}" for rule in config.rules]
    return AlignConfig(
        **{name: getattr(config, name) for name in kept + served},
        **{name: value for name, value in said.items() if getattr(config, name)},
        more_rules=";".join(rules),
        updates_per_step=min(2, config.updates_per_step),
        max_new_tokens=LENGTH,
    )


@cache
def _receipts(config: AlignConfig) -> Receipts:
    problem = toy_problem(config, words=WORDS)
    state = toy_state(problem, toy_policy(WORDS, seed=1))
    every = listing(problem, LAMBDAS[: len(problem.target.wishes)])
    state.fit["wishes"] = [{"lambda": value} for value in LAMBDAS[: len(problem.target.wishes)]]
    learn_exact_z(problem, state, every)
    totals = [
        (every.log_policy(state.policy, temperature=term.temperature).exp().sum(1) - 1).abs().max()
        for term in terms_of(config)
    ]
    return Receipts(
        gradient=gradient_error(problem, state, every)
        if config.objective in OF_DIVERGENCE
        else None,
        total=largest(totals),
    )


def learn_exact_z(problem: Problem, state: State, every: Listing) -> None:
    """Let the run's own estimate of Z see each outcome once, as if drawn from a uniform sampler."""
    logps = torch.zeros(every.rollouts.mask.shape, dtype=torch.float64)
    logps[:, 0] = -torch.tensor(every.log_scores.shape[1]).double().log()
    drawn = replace(every.rollouts, token_logps=logps)
    weights = score(problem, drawn, state.lambdas).log_weights
    learn_z(problem, state.z, range(len(problem.prompts)), weights)


def gradient_error(problem: Problem, state: State, every: Listing) -> float:
    """Largest distance of the expected gradient from the exact one, relative to its largest entry."""
    config = problem.config
    policies = [(state.policy, False)]
    weighed = config.objective == "fdpg" and config.estimator == "score"
    if config.updates_per_step > 1 and weighed:  # samples of another policy
        policies.append((problem.reference, True))
    exact = exact_gradient(problem, state, every)
    scale = max(entry.abs().max() for entry in exact)
    errors = [
        (one - other).abs().max() / scale
        for sampler, old in policies
        for one, other in zip(
            expected_gradient(problem, state, every, sampler, old=old), exact, strict=True
        )
    ]
    return largest(errors)


def exact_gradient(problem: Problem, state: State, every: Listing) -> list[Tensor]:
    """Of every term's D_f summed over the prompts, by automatic differentiation of its definition."""
    state.policy.model.zero_grad()
    config = problem.config
    unit = config.beta if config.objective == "rloo" else 1.0  # its reward is beta times log P
    for term in terms_of(config):
        with term.used(state.policy):
            divergence = every.divergence(
                state.policy, divergence_of(config), temperature=term.temperature
            )
            (unit * term.weight * divergence.sum()).backward()  # type: ignore[no-untyped-call]
    return _gradients(state.policy)


def expected_gradient(
    problem: Problem, state: State, every: Listing, sampler: Policy, *, old: bool
) -> list[Tensor]:
    """The mean over all draws of what a step adds to the gradient, summed over the prompts."""
    state.policy.model.zero_grad()
    for term in terms_of(problem.config):
        for drawn in draws(problem, state, every, sampler, term):
            rated = OBJECTIVES[problem.config.objective](problem, state, drawn)
            backward(state, drawn, rated, old=old)
    return _gradients(state.policy)


def draws(
    problem: Problem, state: State, every: Listing, sampler: Policy, term: Term
) -> Iterator[Drawn]:
    """Every pair of completions of every prompt, its chance a factor of the term's weight."""
    with torch.no_grad(), term.used(sampler):
        logps = completion_token_logps(sampler.model, every.rollouts, temperature=term.temperature)
    scored = score(problem, replace(every.rollouts, token_logps=logps), state.lambdas)
    chances = logps.sum(1).exp()
    prompts, count = every.log_scores.shape
    for place in range(prompts):
        for pair in combinations_with_replacement(range(place * count, (place + 1) * count), 2):
            rows = torch.tensor(pair)
            orders = len(set(pair))
            weight = term.weight * orders * chances[rows].prod().item()
            yield placed(problem, state, [place], scored.rows(rows), replace(term, weight=weight))


def largest(errors: Iterable[Tensor]) -> float:
    """Of some errors; one that is not a number is as large as can be stored."""
    found = torch.stack([error.nan_to_num(HUGE, HUGE) for error in errors])
    return found.max().item()


def _gradients(policy: Policy) -> list[Tensor]:
    """Copies, as the next ones are added in place."""
    found = [weight.grad for weight in policy.model.parameters() if weight.grad is not None]
    return [gradient.clone() for gradient in found]
