"""Where a run starts: exactly at its reference, or so far from it."""

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from alignment.maths.estimators import estimate, grouped_interval
from alignment.models.computation import is_coarse
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.objectives.problem import Problem, State
from alignment.objectives.steps import token_kls
from alignment.sampling.sampling import parted, sample
from alignment.sampling.scoring import completion_token_kls, completion_token_logps
from alignment.seam.errors import StartError
from alignment.seam.records import Estimate
from alignment.seam.words import _

SAME_PROMPTS, SAME_TOKENS = 4, 8  # that show whether two models are one
FAR_PROMPTS = 32  # of the KL at the start
LOOKED_AT = 64  # labelled answers
EQUAL = 1e-6  # of a log-probability, or of ten nats where it is less: what fp32 rounds
COARSE = 1e-2  # the same of half precision


def start_of(problem: Problem, state: State) -> Estimate | None:
    """KL(policy || reference) in nats before the first step, over prompts; None where both are one model.

    Raises StartError where both were read from one model and are not one.
    """
    if problem.same:
        check_one_model(problem, state)
        return None
    count = min(FAR_PROMPTS, problem.trained)
    rollouts = sample(
        state.policy,
        problem.ids[:count],
        completions=1,
        max_new_tokens=problem.config.max_new_tokens,
        generator=torch.Generator().manual_seed(problem.seed + 3),
    )
    return estimate(token_kls(problem, state, rollouts).sum(1).tolist(), "nats")


@torch.no_grad()
def check_one_model(problem: Problem, state: State) -> None:
    """Raise StartError where policy and reference, read from one model, give completions other log-probabilities."""
    rollouts = sample(
        problem.reference,
        problem.ids[:SAME_PROMPTS],
        completions=1,
        max_new_tokens=min(SAME_TOKENS, problem.config.max_new_tokens),
        generator=torch.Generator().manual_seed(problem.seed + 3),
    )
    policy, reference = state.policy.model, problem.reference.model
    ours = parted(rollouts, lambda part: completion_token_logps(policy, part))
    theirs = parted(rollouts, lambda part: completion_token_logps(reference, part))
    check_equal(state.policy, ours, theirs)


def start_facts(state: State) -> dict[str, Any]:
    """Where a run started, as its summary says it."""
    return {"kl_start": state.start.model_dump()} if state.start else {}


def start_on_answers(
    policy: Policy,
    reference: Policy,
    answers: Sequence[Written],
    keys: Sequence[Hashable],
    *,
    same: bool,
) -> Estimate | None:
    """The same of labelled answers, which are not drawn: KL of each next token, summed along an answer."""
    rollouts = rollouts_of(policy, answers[:LOOKED_AT])
    if not same:
        kls = completion_token_kls(policy.model, reference.model, rollouts).sum(1)
        return grouped_interval(kls.tolist(), keys[:LOOKED_AT], unit="nats")
    with torch.no_grad():
        ours, theirs = (completion_token_logps(one.model, rollouts) for one in (policy, reference))
    check_equal(policy, ours, theirs)
    return None


def check_equal(policy: Policy, ours: Tensor, theirs: Tensor) -> None:
    """Raise StartError where log-probabilities (n, length) of one model differ by more than rounding."""
    scale = max(10.0, theirs.abs().max().item())
    distance = (ours - theirs).abs().nan_to_num(torch.inf).max().item()
    precise = torch.finfo(policy.model.dtype).eps < EQUAL and not is_coarse(policy.model)
    if distance > (EQUAL if precise else COARSE) * scale:
        raise StartError(
            _(
                "Policy and reference were read from one model, and before the first step they "
                "differ by {distance:.2g} nats a token; the files do not decide all weights. Save "
                "the model again from where it was trained."
            ).format(distance=distance)
        )
