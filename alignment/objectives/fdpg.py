"""f-DPG: the loss whose gradient is that of D_f(policy || p), by one of three estimators."""

import torch
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.advantages import weighted_leave_one_out
from alignment.maths.divergences import divergence_of
from alignment.maths.losses import (
    importance,
    limited,
    rao_blackwell_loss,
    score_loss,
)
from alignment.objectives.problem import Problem, State
from alignment.objectives.samples import Drawn, Loss, Pass, Rated
from alignment.sampling.sampling import Rollouts, parted
from alignment.sampling.scoring import completion_logits, completion_token_logps


def fdpg(problem: Problem, state: State, drawn: Drawn) -> Rated:
    """Pseudo-rewards, with the mean of the same prompt's other completions as the baseline.

    Old samples have the baseline of the policy as it is now: at the target it is 0 with the
    pseudo-rewards, and what they add to the gradient ends, however noisy it was when they were drawn.
    """
    config = problem.config
    shift = shifts(state, drawn) if config.estimator == "score" else torch.zeros_like(drawn.u)
    rho, _ = pseudo_rewards(config, drawn.u + shift, drawn.known[:, None])
    weights, _ = importance(shift, config.weight_limit)
    baseline = weighted_leave_one_out(rho, weights, drawn.owners).flatten()
    return divergence_loss(problem, drawn, baseline, {"baseline/mean": baseline.mean().item()})


@torch.no_grad()
def shifts(state: State, drawn: Drawn) -> Tensor:
    """(prompts, n) log policy - log sampler, exactly 0 where fresh."""
    found, term = torch.zeros_like(drawn.u).flatten(), drawn.term
    if drawn.fresh == len(found):
        return found.view_as(drawn.u)

    def asked(part: Rollouts) -> Tensor:
        return completion_token_logps(state.policy.model, part, temperature=term.temperature)

    old = drawn.scored.rollouts.rows(torch.arange(drawn.fresh, len(found), device=found.device))
    with term.used(state.policy):
        found[drawn.fresh :] = (parted(old, asked) - old.token_logps).double().sum(1)
    return found.view_as(drawn.u)


def divergence_loss(
    problem: Problem, drawn: Drawn, baseline: Tensor, metrics: dict[str, float]
) -> Rated:
    """The loss with a given baseline (n,)."""
    config, known = problem.config, drawn.known_rows

    def loss(done: Pass) -> Loss:
        rows = done.batch.rows
        if config.estimator == "rao_blackwell":
            return Loss(token_kl_loss(problem, drawn, baseline, done))
        shift = done.shift.detach().double().sum(1)
        rho, clipped = pseudo_rewards(config, drawn.u.flatten()[rows] + shift, known[rows])
        cut = {"rho/clipped": clipped.double().mean()} if config.pseudo_reward_limit else {}
        weights = rho
        if config.estimator == "score":
            ratios, truncated = importance(shift, config.weight_limit)
            weights = ratios * (rho - baseline[rows])
            if config.weight_limit:
                cut["weights/truncated"] = truncated.double().mean()
        return Loss(score_loss(done.logps.sum(1), weights.to(done.logps.dtype)), cut)

    return Rated(loss, metrics)


def pseudo_rewards(config: AlignConfig, u: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """rho(u) within its limit, 0 where the prompt is not known; and which were cut."""
    rho = divergence_of(config).pseudo_reward(u).where(known, 0.0)
    return limited(rho, config.pseudo_reward_limit)


def token_kl_loss(problem: Problem, drawn: Drawn, baseline: Tensor, done: Pass) -> Tensor:
    """The Rao-Blackwell loss of a batch, with the same baseline as the score's."""
    batch, scored = done.batch, drawn.scored
    rows = batch.rows
    with torch.no_grad():
        reference = completion_logits(problem.reference.model, batch).log_softmax(-1)
    chances = done.logits.log_softmax(-1)
    kls = (chances.exp() * (chances - reference)).sum(-1).gather(1, batch.places)
    kls = kls.masked_fill(~batch.mask, 0.0)
    known = drawn.known_rows[rows].to(kls.dtype)
    energies = scored.rollouts.logps.double() - scored.reference_logps.double() - drawn.u.flatten()
    returns = (energies - baseline)[rows].to(kls.dtype)
    return rao_blackwell_loss(done.logps * known[:, None], kls * known[:, None], returns * known)
