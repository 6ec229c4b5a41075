"""Completions that somebody wrote as if a policy had drawn them, and what a policy drew as texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from alignment.models.policies import Policy
from alignment.sampling.sampling import Rollouts
from alignment.seam.errors import DataError
from alignment.seam.records import Message
from alignment.seam.words import _

SHOWN = 60  # characters of a prompt that does not fit


@dataclass(frozen=True)
class Written:
    """A prompt and a completion as token ids; the completion ends with the end token."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.completion)


def written(policy: Policy, prompt: Sequence[Message], text: str) -> Written:
    """The tokens of a completion; raises DataError where they do not fit: see `overlong`."""
    before, completion = policy.answered(prompt, text)
    row = Written(tuple(before), tuple(completion))
    if len(row.prompt) > policy.room(len(row.completion)):
        raise DataError(
            _(
                "A prompt and its answer have {length:,} tokens, and the model reads "
                "{context_length:,}; the prompt ends with “{content}”."
            ).format(
                length=row.length,
                context_length=policy.context_length,
                content=prompt[-1].content[-SHOWN:],
            )
        )
    return row


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
