"""Completions that somebody wrote as if a policy had drawn them, and what a policy drew as texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from alignment.policies import Policy
from alignment.records import Message
from alignment.sampling import Rollouts

PROMPT_SHARE = 4  # a prompt that is too long keeps at least this fraction of the context


@dataclass(frozen=True)
class Written:
    """A prompt and a completion as token ids; the completion ends with the end token unless cut."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    cut: bool  # one of the two did not fit the context

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.completion)


def written(policy: Policy, prompt: Sequence[Message], text: str) -> Written:
    """The tokens of a completion, the prompt cut on its left, the completion on its right to fit."""
    before, completion = policy.answered(prompt, text)
    context = policy.context_length
    kept = completion[: context - min(len(before), context // PROMPT_SHARE)]
    start = max(0, len(before) + len(kept) - context)
    cut = start > 0 or len(kept) < len(completion)
    return Written(tuple(before[start:]), tuple(kept), cut)


def rollouts_of(policy: Policy, rows: Sequence[Written]) -> Rollouts:
    """The rows as rollouts; their sampler is nobody, so its log-probabilities are 0."""
    width = max(len(row.completion) for row in rows)
    device = policy.device
    fill, ends = policy.turn_end, policy.ends
    ids = [[*row.completion, *[fill] * (width - len(row.completion))] for row in rows]
    lengths = torch.tensor([len(row.completion) for row in rows], device=device)
    mask = torch.arange(width, device=device) < lengths[:, None]
    ended = torch.tensor([row.completion[-1] in ends for row in rows], device=device)
    tokens = torch.tensor(ids, device=device)
    zeros = torch.zeros(mask.shape, device=device)
    return Rollouts(tuple(row.prompt for row in rows), tokens, mask, zeros, ~ended)


def drawn_texts(policy: Policy, rollouts: Rollouts) -> list[str]:
    """The completions as the policy wrote them, byte for byte."""
    rows = zip(rollouts.completion_ids(), rollouts.prompts, strict=True)
    return [policy.text(ids, prompt) for ids, prompt in rows]
