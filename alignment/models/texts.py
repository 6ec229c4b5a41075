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
    counted: tuple[bool, ...] = ()  # of the completion's tokens, those that are learned; empty: all

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.completion)

    @property
    def learned(self) -> int:
        """How many tokens of the completion are learned."""
        return sum(self.counted) if self.counted else len(self.completion)


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


def written_turns(policy: Policy, prompt: Sequence[Message], text: str) -> list[Written]:
    """A conversation of which every answer is learned, the earlier ones of the assistant's too.

    It is one row as far as the model reads earlier answers as it wrote them when they were the last; any
    other is a row of its own. Raises DataError as `written` does.
    """
    last = written(policy, prompt, text)
    whole, rows = (*last.prompt, *last.completion), []
    spans = [range(len(last.prompt), len(whole))]
    for place, turn in enumerate(prompt):
        asked = any(one.role in ("user", "tool") for one in prompt[:place])
        if turn.role != "assistant" or turn.tool_calls or not (asked and turn.content.strip()):
            continue
        row = written(policy, prompt[:place], turn.content)
        if not policy.apart and whole[: row.length] == (*row.prompt, *row.completion):
            spans.append(range(len(row.prompt), row.length))
        else:
            rows.append(row)
    if len(spans) == 1:
        return [*rows, last]
    first = min(span.start for span in spans)
    counted = (any(at in span for span in spans) for at in range(first, len(whole)))
    return [*rows, Written(whole[:first], whole[first:], tuple(counted))]


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
