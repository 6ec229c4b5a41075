"""A step's completions, and what an objective makes of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.models.policies import Policy
from alignment.models.quantisation import int8_weights
from alignment.objectives.problem import Problem, Scored, State, score
from alignment.sampling.sampling import sample, sample_to_learn
from alignment.sampling.scoring import Batch
from alignment.sampling.warps import Warp


@dataclass(frozen=True)
class Term:
    """A way in which the policy is used, and how much its divergence from the target weighs."""

    weight: float = 1.0
    temperature: float = 1.0
    int8: bool = False

    @property
    def warp(self) -> Warp:
        """What its sampler changes: nothing but the temperature, as weights are of all completions."""
        return Warp(temperature=self.temperature)

    def used(self, policy: Policy) -> AbstractContextManager[None]:
        """The policy's weights as they are in this use."""
        return int8_weights(policy.model) if self.int8 else nullcontext()


@dataclass(frozen=True)
class Drawn:
    """A step's completions of one term, prompt after prompt; u = log sampler - log p."""

    term: Term
    scored: Scored
    log_z: Tensor  # (prompts,)
    known: Tensor  # (prompts,) bool: some sample with P > 0 was seen
    u: Tensor  # (prompts, n)
    owners: Tensor  # (prompts,) their numbers; one may come several times
    fresh: int  # completions, the first ones, that the policy has drawn as it is now

    @property
    def known_rows(self) -> Tensor:
        """(prompts * n,) bool, of the completions."""
        return self.known.repeat_interleave(self.u.shape[1])


@dataclass(frozen=True)
class Pass:
    """One forward of the policy over a batch of a step's completions."""

    batch: Batch
    logits: Tensor  # (b, keep, vocab)
    logps: Tensor  # (b, length) of the completions' tokens, with gradient
    shift: Tensor  # (b, length) log policy - log sampler, with gradient; exactly 0 where fresh
    values: Tensor | None = None  # (b, length) with gradient, where there is a value head


class Loss(NamedTuple):
    """The loss of a batch as a mean over its rows, and means over rows for the metrics."""

    value: Tensor
    metrics: Mapping[str, Tensor] = {}


class Rated(NamedTuple):
    """An objective's verdict on a step's completions: their loss, and metrics of them as drawn."""

    loss: Callable[[Pass], Loss]
    metrics: Mapping[str, float] = {}


def terms_of(config: AlignConfig) -> list[Term]:
    """The divergence in training and, where it has a weight, that of the deployed policy."""
    served = Term(
        config.inference_weight, config.inference_temperature, config.inference_weights == "int8"
    )
    return [Term(), *([served] if served.weight else [])]


def draw(problem: Problem, state: State, chosen: Sequence[int], term: Term) -> Drawn:
    """Completions of the chosen prompts as the term's policy answers them."""
    draw_them = sample_to_learn if learns_at_once(problem.config, state, term) else sample
    with term.used(state.policy):
        rollouts = draw_them(
            state.policy,
            [problem.ids[place] for place in chosen],
            completions=problem.config.completions_per_prompt,
            max_new_tokens=problem.config.max_new_tokens,
            warp=term.warp,
            generator=state.known.generator,
        )
    return placed(problem, state, chosen, score(problem, rollouts, state.lambdas), term)


def learns_at_once(config: AlignConfig, state: State, term: Term) -> bool:
    """Whether the policy learns from what it has just drawn, and from nothing else."""
    alone = not (config.replay_share or config.stored_share)
    return alone and not term.int8 and state.value_head is None


def placed(
    problem: Problem, state: State, chosen: Sequence[int], scored: Scored, term: Term
) -> Drawn:
    """Scored completions beside the present estimates of their prompts' Z."""
    found = [state.known.z.log_z(problem.prompts[place].key) for place in chosen]
    log_z = torch.tensor(found, dtype=torch.float64)
    u = log_z.to(scored.log_weights)[:, None] - scored.log_weights.view(len(chosen), -1)
    owners = torch.tensor(list(chosen), device=u.device)
    return Drawn(term, scored, log_z, (log_z != -math.inf).to(u.device), u, owners, u.numel())
