"""What an alignment sees of held-out prompts while it learns from others.

A look draws completions of the same prompts by the same random numbers and estimates D_f(policy || target), the
quantity that the run minimises. Z_c of these prompts is estimated once, from the reference's completions before
the first step, and stays: a factor of a target that is one number for all looks moves no minimum of an
f-divergence, as f'(policy / (c target)) is one number for all completions where policy = target, and f is convex.
So whatever the estimate of Z_c is, no policy looks better than the target itself; how two that are far from it compare
it may change, but not by reverse KL. Nothing that is drawn here enters the training.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from alignment.maths.divergences import divergence_of
from alignment.maths.estimators import estimate
from alignment.models.bounds import HELD_OUT, HeldOut
from alignment.objectives.problem import DRAWING, PROMPTS_AT_ONCE, Problem, Scored, State, score
from alignment.objectives.steps import sampled_kl
from alignment.reward.labels import place
from alignment.sampling.sampling import sample
from alignment.seam.errors import DataError
from alignment.seam.progress import split, taking
from alignment.seam.records import Estimate, PromptRecord
from alignment.seam.words import _

ANSWERS = 4  # to each prompt of a look
LOOKING, MEASURING, KNOWING = 4, 5, 6  # added to a run's seed: what is drawn for what


def prompts_apart(
    prompts: Sequence[PromptRecord], own: Sequence[PromptRecord] | None, count: int
) -> tuple[list[PromptRecord], list[PromptRecord]]:
    """Prompts to learn from, and at most so many to look at: of their own, or kept back by their own hash.

    None of these is learned from; raises DataError where no other is left.
    """
    known = {prompt.key: prompt for prompt in (prompts if own is None else own)}
    keys = list(known) if own is not None else sorted(known, key=place)
    held = {key: known[key] for key in keys[:count]}
    learned = [prompt for prompt in prompts if prompt.key not in held]
    if not learned:
        raise DataError(
            _(
                "All {n:,} training prompts are looked at, and none is left to learn from; look at fewer "
                "(evaluation_prompts), or at prompts of their own."
            ).format(n=len(prompts))
        )
    return learned, list(held.values())


def next_held(problem: Problem, state: State) -> range:
    """Numbers of the held-out prompts that the reference answers next; none once it has answered all."""
    done = len(state.known.held_z.state_dict())
    return range(done, min(done + PROMPTS_AT_ONCE, len(problem.held)))


def prepare_held(problem: Problem, state: State) -> None:
    """Draw the reference's completions of the next held-out prompts: the estimates of Z that all looks share."""
    batch, config = next_held(problem, state), problem.config
    drawing, judging = split(DRAWING, 1)
    with drawing:
        rollouts = sample(
            problem.reference,
            problem.held_ids[batch.start : batch.stop],
            completions=config.reference_completions,
            max_new_tokens=config.max_new_tokens,
            generator=torch.Generator().manual_seed(problem.seed + KNOWING + batch.start),
        )
    with judging:
        scored = score(problem, rollouts, state.lambdas, token_logps=rollouts.token_logps)
    for number, weights in zip(batch, scored.log_weights.view(len(batch), -1).cpu(), strict=True):
        state.known.held_z.update(problem.held[number].key, weights)


def looks_of(problem: Problem, state: State) -> HeldOut | None:
    """What a policy is looked at by while it learns, where that was asked for; raises ConfigError where there is nothing."""
    return HeldOut.of(lambda: glance_at_held(problem, state), problem.config, len(problem.held))


def glance_at_held(problem: Problem, state: State) -> dict[str, float]:
    """How far the policy is from its target on held-out prompts, with half its interval; its reward and its KL."""
    seen = [
        (held_terms(problem, state, batch, scored), scored.rewards, sampled_kl(scored))
        for batch, scored in answered_held(problem, state, LOOKING)
    ]
    terms, rewards, kls = (torch.cat(column) for column in zip(*seen, strict=True))
    found = estimate(terms.tolist())
    width = {} if found.high is None else {"heldout/interval": found.high - found.value}
    return {
        HELD_OUT: found.value,
        **width,
        "heldout/reward": rewards.mean().item(),
        "heldout/kl": kls.mean().item(),
    }


def held_estimate(problem: Problem, state: State) -> Estimate | None:
    """D_f(policy || target) over held-out prompts, of completions that decided nothing; None where none has a Z."""
    answered = answered_held(problem, state, MEASURING)
    terms = [held_terms(problem, state, batch, scored).tolist() for batch, scored in answered]
    means = [mean for each in terms for mean in each]
    return estimate(means) if means else None


def answered_held(
    problem: Problem, state: State, purpose: int
) -> Iterator[tuple[Sequence[PromptRecord], Scored]]:
    """Held-out prompts, some at a time, with the policy's completions of them and what the target says of these."""
    count = len(problem.held)
    generator = torch.Generator().manual_seed(problem.seed + purpose)
    size = math.ceil(count / max(1, math.ceil(count / PROMPTS_AT_ONCE)))  # so that none is small
    for start in range(0, count, max(1, size)):
        places = slice(start, start + size)
        with taking(len(problem.held[places]) / count):
            drawing, judging = split(DRAWING, 2)
            with drawing:
                rollouts = sample(
                    state.policy,
                    problem.held_ids[places],
                    completions=ANSWERS,
                    max_new_tokens=problem.config.max_new_tokens,
                    generator=generator,
                )
            with judging:
                scored = score(problem, rollouts, state.lambdas)
        yield problem.held[places], scored


def held_terms(
    problem: Problem, state: State, prompts: Sequence[PromptRecord], scored: Scored
) -> Tensor:
    """(prompts with an estimate of Z,) means of what a prompt's completions say of D_f, in fp64."""
    found = [state.known.held_z.log_z(prompt.key) for prompt in prompts]
    log_z = torch.tensor(found, dtype=torch.float64)
    u = log_z[:, None] - scored.log_weights.cpu().view(len(log_z), -1)
    return divergence_of(problem.config).terms(u[log_z != -math.inf]).mean(1)
