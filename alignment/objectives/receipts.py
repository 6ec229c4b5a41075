"""Receipts: what a run computes, checked on a toy where the right answer is known.

Every draw of two completions that a step can make of the toy's prompts is made, and its loss weighed
by the draw's chance: the sum is the gradient that the run's samples have in expectation. It goes the
run's own way, by `score`, `learn_z`, `placed`, the objective and `backward`, with its divergence, its
estimator and all parts of its target. Beside it stands automatic differentiation of D_f by its
definition, over all outcomes. The toy has other texts and rewards than the run, and other weights.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import divergence_of
from alignment.models.computation import is_coarse
from alignment.models.distributed import apart
from alignment.models.policies import Policy
from alignment.objectives.pool import Pool, lesson, log_mixture
from alignment.objectives.problem import Problem, Scored, State, learn_z, score
from alignment.objectives.samples import Drawn, Loss, Pass, Rated, Term, placed, terms_of
from alignment.objectives.steps import Lesson, backward
from alignment.objectives.table import OBJECTIVES
from alignment.objectives.toy import Listing, listing, toy_policy, toy_problem, toy_state
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.records import Receipts

WORDS, LENGTH = 2, 2  # of the toy: seven outcomes for a prompt, 28 pairs of them
HUGE = 1e300
COARSE = 0.1  # nats per token that half precision may lose between sampler and scorer
LAMBDAS = (0.7, -0.4, 0.3)  # of its features
OF_DIVERGENCE = ("fdpg", "rloo")  # objectives whose gradient is that of a divergence


def sign(weight: float) -> float:
    """1, 0 or -1: beside the toy's beta any other weight says nothing more."""
    return float((weight > 0) - (weight < 0))


def learns_from_old(config: AlignConfig) -> bool:
    """Whether updates learn from completions that an earlier policy drew."""
    return config.updates_per_step > 1 or config.replay_share > 0


class Toy(NamedTuple):
    """A run's settings on the toy, with the exact Z in its estimate, and every outcome beside it."""

    problem: Problem
    state: State
    every: Listing

    @classmethod
    def of(cls, config: AlignConfig) -> "Toy":
        """The toy of settings that `on_the_toy` made."""
        problem = toy_problem(config, words=WORDS)
        state = toy_state(problem, toy_policy(WORDS, seed=1))
        lambdas = LAMBDAS[: len(problem.target.wishes)]
        state.known.fit["wishes"] = [{"lambda": value} for value in lambdas]
        every = listing(problem, lambdas)
        learn_exact_z(problem, state, every)
        return cls(problem, state, every)

    @torch.no_grad()
    def scored_by(self, sampler: Policy, term: Term) -> tuple[Scored, Tensor]:
        """Every outcome scored as a sampler's, and its log-probabilities (prompts, outcomes)."""
        rollouts = self.every.rollouts
        logps = completion_token_logps(sampler.model, rollouts, temperature=term.temperature)
        scored = score(self.problem, replace(rollouts, token_logps=logps), self.state.lambdas)
        return scored, logps.sum(1).view_as(self.every.log_scores)


def receipts(config: AlignConfig) -> Receipts:
    """The exactness of these settings' gradient, and of the sum of all probabilities, on the toy.

    Limits of weights and of pseudo-rewards, which bias the gradient on purpose, are left out.
    """
    with apart():
        return _receipts(on_the_toy(config))


def pool_receipts(config: AlignConfig) -> Receipts:
    """The same for an agent that learns from a pool of its own and another agent's completions."""
    with apart():
        return _pool_receipts(on_the_toy(config))


def with_contract(checked: Receipts, state: State) -> Receipts:
    """Receipts with how far the sampler's log-probabilities were from the scorer's in any step."""
    model = state.policy.model
    precise = torch.finfo(model.dtype).eps < 1e-6 and not is_coarse(model)
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
    """What of the settings decides the gradient, with texts that the toy can write, in moderate sizes."""
    kept = ("objective", "divergence", "alpha", "estimator", "soften")
    served = ("inference_weight", "inference_temperature", "inference_weights")
    said: dict[
        str, tuple[Any, bool]
    ] = {  # a class is a phrase to the toy: of the same part of a target
        "must_contain": ("a", bool(config.must_contain) or config.class_required),
        "must_match": ("b", bool(config.must_match)),
        "share_of": ("b a", bool(config.share_of or config.class_mean)),
        "length_mean": (1.5, bool(config.length_mean)),
        "more_wishes": ("0.5 matches b$", bool(config.more_wishes)),
    }
    rules = [f"{sign(rule.weight)} {rule.name} {'a' if rule.text else ''}" for rule in config.rules]
    rules += [f"{sign(config.class_weight)} contains b"] if config.class_weight else []
    return AlignConfig(
        **{name: getattr(config, name) for name in kept + served},
        **{name: value for name, (value, asked) in said.items() if asked},
        beta=0.5,
        reward_weight=sign(config.reward_weight or config.code_weight),
        more_rules=";".join(rules),
        updates_per_step=2 if learns_from_old(config) else 1,
        max_new_tokens=LENGTH,
    )


@cache
def _receipts(config: AlignConfig) -> Receipts:
    toy = Toy.of(config)
    known = config.objective in OF_DIVERGENCE
    return Receipts(gradient=gradient_error(toy) if known else None, total=distance_from_one(toy))


@cache
def _pool_receipts(config: AlignConfig) -> Receipts:
    toy = Toy.of(config)
    known = config.estimator == "score"  # the surrogate's gradient is another where samples are old
    error = relative(pooled_gradient(toy), exact_gradient(toy)) if known else None
    return Receipts(gradient=error, total=distance_from_one(toy))


def learn_exact_z(problem: Problem, state: State, every: Listing) -> None:
    """Let the run's own estimate of Z see each outcome once, as if drawn from a uniform sampler."""
    logps = torch.zeros(every.rollouts.mask.shape, dtype=torch.float64)
    logps[:, 0] = -torch.tensor(every.log_scores.shape[1]).double().log()
    drawn = replace(every.rollouts, token_logps=logps)
    weights = score(problem, drawn, state.lambdas).log_weights
    learn_z(problem, state.known.z, range(len(problem.prompts)), weights)


def distance_from_one(toy: Toy) -> float:
    """How far the probabilities of all completions sum from 1, for any prompt and use of the policy."""
    found = []
    for term in terms_of(toy.problem.config):
        with torch.no_grad(), term.used(toy.state.policy):
            logps = toy.every.log_policy(toy.state.policy, temperature=term.temperature)
        found.append((logps.exp().sum(1) - 1).abs().max())
    return largest(found)


def gradient_error(toy: Toy) -> float:
    """Relative distance of the expected gradient from the exact one, of new and of old samples."""
    config, exact = toy.problem.config, exact_gradient(toy)
    errors = [relative(expected_gradient(toy, toy.state.policy, old=False), exact)]
    weighed = config.objective == "fdpg" and config.estimator == "score"
    if learns_from_old(config) and weighed:
        errors.append(relative(expected_gradient(toy, toy.problem.reference, old=True), exact))
    return max(errors)


def exact_gradient(toy: Toy) -> list[Tensor]:
    """Of every term's D_f summed over the prompts, by automatic differentiation of its definition."""
    policy, config = toy.state.policy, toy.problem.config
    policy.model.zero_grad()
    unit = config.beta if config.objective == "rloo" else 1.0  # its reward is beta times log P
    divergence = divergence_of(config)
    for term in terms_of(config):
        with term.used(policy):
            found = toy.every.divergence(policy, divergence, temperature=term.temperature)
            (unit * term.weight * found.sum()).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    return _gradients(policy)


def expected_gradient(toy: Toy, sampler: Policy, *, old: bool) -> list[Tensor]:
    """The mean over all draws of what a step adds to the gradient, summed over the prompts."""
    problem, state, _ = toy
    state.policy.model.zero_grad()
    for term in terms_of(problem.config):
        for drawn, chances in draws(toy, sampler, term):
            learned = replace(drawn, fresh=0) if old else drawn
            rated = OBJECTIVES[problem.config.objective](problem, state, learned)
            backward(state, Lesson(learned, weighed(rated, chances)))
    return _gradients(state.policy)


def draws(toy: Toy, sampler: Policy, term: Term) -> Iterator[tuple[Drawn, Tensor]]:
    """Of every prompt all pairs of completions, each as a prompt of its own beside its chance."""
    with term.used(sampler):
        scored, logps = toy.scored_by(sampler, term)
    prompts, count = logps.shape
    pairs = torch.tensor(list(combinations_with_replacement(range(count), 2)))
    orders = torch.where(pairs[:, 0] == pairs[:, 1], 1, 2)
    for place in range(prompts):
        picked = scored.rows(pairs.flatten() + place * count)
        drawn = placed(toy.problem, toy.state, [place] * len(pairs), picked, term)
        chances = orders * logps[place, pairs].sum(1).exp()
        yield replace(drawn, owners=torch.arange(len(pairs))), chances


def weighed(rated: Rated, chances: Tensor) -> Rated:
    """The verdict on pairs, of which each one's loss by itself counts by its chance."""

    def loss(done: Pass) -> Loss:
        owners = done.batch.rows // 2
        value = done.logps.new_zeros(())
        for owner in set(owners.tolist()):
            mine = owners == owner
            share = mine.double().mean() * len(chances)  # as `backward` takes means over all
            value = value + share * chances[owner] * rated.loss(rows_of(done, mine)).value
        return Loss(value)

    return Rated(loss)


def rows_of(done: Pass, picked: Tensor) -> Pass:
    """A forward as if over these of its rows alone."""
    batch = done.batch
    parts = {
        name: part[picked]
        for name in ("rows", "ids", "targets", "places", "mask", "owners")
        if (part := getattr(batch, name)) is not None
    }
    return replace(
        done,
        batch=replace(batch, **parts),
        logits=done.logits[picked],
        logps=done.logps[picked],
        shift=done.shift[picked],
    )


def pooled_gradient(toy: Toy) -> list[Tensor]:
    """The mean, over all pools of two completions by each of two agents, of the first one's gradient."""
    problem, state, every = toy
    agents = [state.policy, toy_policy(WORDS, seed=2)]
    logps = torch.stack([toy.scored_by(agent, Term())[1] for agent in agents])
    scored = toy.scored_by(state.policy, Term())[0]
    owners = torch.tensor([0, 0, 1, 1])
    count = logps.shape[2]
    picks = torch.cartesian_prod(*[torch.arange(count)] * len(owners))  # (pools, 4)
    factors = torch.zeros_like(logps[0])
    for place, record in enumerate(problem.prompts):
        chances = logps[owners, place, picks].sum(1).exp()
        rows = picks.flatten()
        log_z = torch.full((len(picks),), state.known.z.log_z(record.key), dtype=torch.float64)
        pool = Pool(scored.rows(rows + place * count), owners, log_z, log_z.isfinite())
        own = logps[:, place, rows]
        mixture = log_mixture(own, pool.log_shares)
        found, _ = lesson(problem.config, pool, torch.arange(len(rows)), own[0], mixture)
        factors[place].index_add_(0, rows, found * pool.of_rows(chances) / len(owners))
    state.policy.model.zero_grad()
    (-(factors * every.log_policy(state.policy)).sum()).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    return _gradients(state.policy)


def relative(found: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """Largest distance between gradients, relative to the largest entry of the exact one."""
    scale = max(entry.abs().max() for entry in exact)
    pairs = zip(found, exact, strict=True)
    return largest([(one - other).abs().max() / scale for one, other in pairs])


def largest(errors: Iterable[Tensor]) -> float:
    """Of some errors; one that is not a number is as large as can be stored."""
    found = torch.stack([error.nan_to_num(HUGE, HUGE) for error in errors])
    return found.max().item()


def _gradients(policy: Policy) -> list[Tensor]:
    """Copies, as the next ones are added in place."""
    found = [weight.grad for weight in policy.model.parameters() if weight.grad is not None]
    return [gradient.clone() for gradient in found]
