"""One step of f-DPG: draw, score, and move the policy by the loss of every term."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from alignment.config import AlignConfig
from alignment.divergences import Divergence, divergence_of
from alignment.errors import DivergedError, OutOfMemoryError
from alignment.estimators import ess_fraction
from alignment.objectives.losses import (
    importance,
    leave_one_out,
    limited,
    rao_blackwell_loss,
    score_loss,
)
from alignment.objectives.problem import Problem, Scored, State, learn_z, score
from alignment.policies import Policy
from alignment.quantisation import int8_weights
from alignment.sampling import sample
from alignment.scoring import (
    Batch,
    batches,
    completion_logits,
    completion_token_kls,
    token_logps,
)
from alignment.targets import Target, Values


@dataclass(frozen=True)
class Term:
    """A way in which the policy is used, and how much its divergence from the target weighs."""

    weight: float = 1.0
    temperature: float = 1.0
    int8: bool = False

    def used(self, policy: Policy) -> AbstractContextManager[None]:
        """The policy's weights as they are in this use."""
        return int8_weights(policy.model) if self.int8 else nullcontext()


@dataclass(frozen=True)
class Drawn:
    """A step's completions of one term, with what its loss needs; u and rho are (prompts, n)."""

    term: Term
    scored: Scored
    log_z: Tensor  # (prompts,)
    known: Tensor  # (prompts,) bool: some sample with P > 0 was seen
    u: Tensor
    rho: Tensor


@dataclass
class Part:
    """What one term added to the gradient; shares are of its samples."""

    loss: Tensor
    mismatch: Tensor  # largest distance of the sampler's log-probabilities from the scorer's
    clipped: Tensor
    truncated: Tensor


def guarded_step(problem: Problem, state: State) -> dict[str, float]:
    """`train_step`, with a full GPU told in words that help."""
    try:
        return train_step(problem, state)
    except torch.OutOfMemoryError as error:
        raise OutOfMemoryError(
            f"The device ran out of memory at step {state.step + 1}; try fewer completions per "
            "prompt, fewer prompts per step or a smaller completion length limit."
        ) from error


def train_step(problem: Problem, state: State) -> dict[str, float]:
    """Draw, score, and move the policy; the metrics of the step."""
    started = time.perf_counter()
    config = problem.config
    chosen = prompts_of_step(problem, state.step)
    drawn = [draw(problem, state, chosen, term) for term in terms_of(config)]
    watch_budget(problem, state, drawn[0].scored, len(chosen))
    rate = rate_at(config, state.step)
    moved = [update(problem, state, drawn, rate, old=k > 0) for k in range(config.updates_per_step)]
    for term in drawn:
        learn_z(problem, state.z, chosen, term.scored.log_weights)
    state.step += 1
    train = drawn[0]
    return {
        **moved[-1],
        "logp/mismatch": moved[0]["logp/mismatch"],  # later ones have moved away on purpose
        "lr": rate,
        "baseline/mean": train.rho.mean().item(),
        "logz/mean": train.log_z[train.known.cpu()].mean().item(),
        "prompts/skipped": float((~train.known).sum()),
        **described(train.scored, train.u, divergence_of(config), train.known),
        **{n: column.mean().item() for n, column in parts(problem.target, train.scored.values)},
        **deployed(drawn[1:], divergence_of(config)),
        "seconds/step": time.perf_counter() - started,
    }


def terms_of(config: AlignConfig) -> list[Term]:
    """The divergence in training and, where it has a weight, that of the deployed policy."""
    served = Term(
        config.inference_weight, config.inference_temperature, config.inference_weights == "int8"
    )
    return [Term(), *([served] if served.weight else [])]


def draw(problem: Problem, state: State, chosen: Sequence[int], term: Term) -> Drawn:
    """Completions of the chosen prompts as the term's policy answers them."""
    with term.used(state.policy):
        rollouts = sample(
            state.policy,
            [problem.ids[place] for place in chosen],
            completions=problem.config.completions_per_prompt,
            max_new_tokens=problem.config.max_new_tokens,
            temperature=term.temperature,
            generator=state.generator,
        )
    scored = score(problem, rollouts, state.lambdas)
    log_z = torch.tensor([state.z.log_z(problem.prompts[place].key) for place in chosen])
    u = log_z.to(scored.log_weights)[:, None] - scored.log_weights.view(len(chosen), -1)
    known = (log_z != -math.inf).to(u.device)
    return Drawn(
        term, scored, log_z, known, u, pseudo_rewards(problem.config, u, known[:, None])[0]
    )


def pseudo_rewards(config: AlignConfig, u: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """rho(u) within its limit, 0 where the prompt is not known; and which were cut."""
    rho = divergence_of(config).pseudo_reward(u).where(known, 0.0)
    return limited(rho, config.pseudo_reward_limit)


def update(
    problem: Problem, state: State, drawn: Sequence[Drawn], rate: float, *, old: bool
) -> dict[str, float]:
    """One optimizer update; `old` says that the policy has moved since the samples were drawn."""
    config = problem.config
    state.optimizer.zero_grad()
    parts = [backward(problem, state, term, old=old) for term in drawn]
    loss = sum(part.loss.item() for part in parts)
    norm = descend(config, state, loss, rate)
    train = parts[0]
    metrics = {"loss": loss, "grad/norm": norm, "logp/mismatch": train.mismatch.item()}
    if config.pseudo_reward_limit:
        metrics["rho/clipped"] = train.clipped.item()
    if config.weight_limit:
        metrics["weights/truncated"] = train.truncated.item()
    return metrics


def descend(config: AlignConfig, state: State, loss: float, rate: float) -> float:
    """Step along the gradient that the parameters hold; its norm before it was clipped."""
    parameters = state.policy.model.parameters()
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm).item()
    if not (math.isfinite(norm) and math.isfinite(loss)):
        raise DivergedError(
            f"The loss was {loss} and its gradient {norm} at step {state.step + 1}; try a "
            "lower learning rate or a larger beta."
        )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    return norm


def rate_at(config: AlignConfig, step: int) -> float:
    """The learning rate of a step, counted from 0: it rises to its peak."""
    return config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))


def backward(problem: Problem, state: State, drawn: Drawn, *, old: bool) -> Part:
    """Add the gradient of one term's loss, batch by batch."""
    rollouts, term = drawn.scored.rollouts, drawn.term
    zero = torch.zeros((), device=drawn.u.device, dtype=torch.float64)
    part = Part(zero, zero.float(), zero, zero)
    with term.used(state.policy):
        for batch in batches(rollouts):
            share = len(batch.rows) / len(rollouts.prompts)
            logits = completion_logits(state.policy.model, batch) / term.temperature
            logps = token_logps(logits, batch)
            weights, clipped, truncated = loss_weights(problem.config, drawn, batch, logps, old=old)
            if problem.config.estimator == "rao_blackwell":
                loss = less_noisy_loss(problem, drawn, batch, logits, logps)
            else:
                loss = score_loss(logps.sum(1), weights.to(logps.dtype))
            (term.weight * share * loss).backward()  # type: ignore[no-untyped-call]
            part.loss = part.loss + term.weight * share * loss.detach()
            sampled = rollouts.token_logps[batch.rows, : logps.shape[1]]
            part.mismatch = torch.maximum(part.mismatch, (logps.detach() - sampled).abs().max())
            part.clipped = part.clipped + share * clipped.double().mean()
            part.truncated = part.truncated + share * truncated.double().mean()
    return part


def loss_weights(
    config: AlignConfig, drawn: Drawn, batch: Batch, logps: Tensor, *, old: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What every completion's log-probability is multiplied by; and whose rho, whose weight was cut.

    The baseline stays that of the samples when they were drawn: it need not know the new policy.
    """
    rows = batch.rows
    moved = logps.detach().sum(1).double() - drawn.scored.rollouts.logps[rows].double()
    shift = moved if old else torch.zeros_like(moved)
    known = drawn.known.repeat_interleave(drawn.u.shape[1])[rows]
    rho, clipped = pseudo_rewards(config, drawn.u.flatten()[rows] + shift, known)
    if config.estimator == "surrogate":
        return rho, clipped, torch.zeros_like(clipped)
    weights, truncated = importance(shift, config.weight_limit)
    return weights * (rho - leave_one_out(drawn.rho).flatten()[rows]), clipped, truncated


def less_noisy_loss(
    problem: Problem, drawn: Drawn, batch: Batch, logits: Tensor, logps: Tensor
) -> Tensor:
    """The Rao-Blackwell loss of a batch, with the same baseline as the score's."""
    rows, scored = batch.rows, drawn.scored
    with torch.no_grad():
        reference = completion_logits(problem.reference.model, batch).log_softmax(-1)
    chances = logits.log_softmax(-1)
    kls = (chances.exp() * (chances - reference)).sum(-1).gather(1, batch.places)
    kls = kls.masked_fill(~batch.mask, 0.0)
    known = drawn.known.repeat_interleave(drawn.u.shape[1])[rows].to(kls.dtype)
    energies = scored.rollouts.logps.double() - scored.reference_logps.double() - drawn.u.flatten()
    returns = (energies - leave_one_out(drawn.rho).flatten())[rows].to(kls.dtype)
    return rao_blackwell_loss(logps * known[:, None], kls * known[:, None], returns * known)


def deployed(drawn: Sequence[Drawn], divergence: Divergence) -> dict[str, float]:
    """The metrics of the deployed policy, where it has a term."""
    return {
        name: value
        for term in drawn
        for name, value in (
            ("inference/reward", term.scored.rewards.mean().item()),
            ("inference/divergence", divergence.terms(term.u[term.known]).mean().item()),
        )
    }


def watch_budget(problem: Problem, state: State, scored: Scored, prompts: int) -> None:
    """Keep the weights while KL(policy || reference) is within its budget; else note that it is not.

    The log-ratios of the step's samples are free but noisy; near the budget the exact KL of every
    token decides, at the price of two forwards.
    """
    budget, rollouts = problem.config.kl_budget, scored.rollouts
    mean, error = prompt_mean(rollouts.logps - scored.reference_logps, prompts)
    if mean + 2 * error > budget:
        kls = completion_token_kls(state.policy.model, problem.reference.model, rollouts)
        mean, error = prompt_mean(kls.sum(1), prompts)
        state.over_budget = mean + error > budget
    if not state.over_budget:
        weights = state.policy.model.named_parameters()
        state.measured = {name: weight.detach().clone() for name, weight in weights}


def prompt_mean(values: Tensor, prompts: int) -> tuple[float, float]:
    """Mean of a step's values (n,) and its standard error, from the means of the prompts."""
    means = values.view(prompts, -1).mean(1)
    error = means.std().item() / math.sqrt(len(means)) if len(means) > 1 else 0.0
    return means.mean().item(), error


def described(scored: Scored, u: Tensor, divergence: Divergence, known: Tensor) -> dict[str, float]:
    """The metrics that need nothing but the step's samples."""
    rollouts = scored.rollouts
    return {
        "reward/mean": scored.rewards.mean().item(),
        "reward/std": scored.rewards.std().item(),
        "kl/reference": (rollouts.logps - scored.reference_logps).mean().item(),
        "divergence/target": divergence.terms(u[known]).mean().item(),
        "ess/fraction": ess_fraction(scored.log_weights.view(u.shape)).mean().item(),
        "length/mean": rollouts.lengths.double().mean().item(),
        "length/truncated": rollouts.truncated.double().mean().item(),
        "entropy/mean": -(rollouts.token_logps.sum() / rollouts.mask.sum()).item(),
    }


def parts(target: Target, values: Values) -> Iterator[tuple[str, Tensor]]:
    """What the target asks beside the reward: (n,) constraints met, features with a wished mean."""
    if target.constraints:
        yield "constraints/met", values.satisfied.prod(1)
    for wish, column in zip(target.wishes, values.features.T, strict=True):
        yield f"feature/{wish.name}", column


def prompts_of_step(problem: Problem, step: int) -> list[int]:
    """Numbers of the step's prompts: one seeded permutation of all after another."""
    count = len(problem.prompts)
    size = min(problem.config.prompts_per_step, count)
    first = step * size
    orders = {
        lap: torch.randperm(
            count, generator=torch.Generator().manual_seed(problem.seed * 1_000_003 + lap)
        ).tolist()
        for lap in {first // count, (first + size - 1) // count}
    }
    return [orders[place // count][place % count] for place in range(first, first + size)]
