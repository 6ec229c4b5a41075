"""Facts as a model reads them: their tokens, where their subjects end, and how likely their answers are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alignment.kinds.edit.settings import ReadingName
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.sampling.warps import Warp
from alignment.seam.errors import DataError
from alignment.seam.records import Message
from alignment.seam.words import _

COLD = 1e-4  # temperature at which the most probable token is drawn
SHOWN = 60  # characters


@dataclass(frozen=True)
class Reading:
    """How a policy reads prompts: as turns that it answers, or as texts that it goes on with."""

    policy: Policy
    way: ReadingName

    def ids(self, prompt: str) -> tuple[int, ...]:
        """A prompt's tokens; raises DataError where it has none, or too many."""
        if self.way == "conversation":
            found = self.policy.prompt_ids((Message(role="user", content=prompt),))
        else:
            found = self._tokens(prompt)
        if not 0 < len(found) < self.policy.context_length:
            raise DataError(
                _("“{prompt}” has {count} tokens, and the model reads {most}.").format(
                    prompt=prompt[:SHOWN], count=len(found), most=self.policy.context_length
                )
            )
        return tuple(found)

    def answer(self, prompt: str, text: str) -> tuple[int, ...]:
        """An answer's tokens behind a prompt, without an end."""
        if self.way == "conversation":
            _before, found = self.policy.answered((Message(role="user", content=prompt),), text)
            return tuple(self.policy.without_end(found))
        whole = self._tokens(f"{prompt.rstrip()} {text.strip()}")
        before = self._tokens(prompt.rstrip())
        return tuple(whole[len(before) :])

    def written(self, prompt: str, answer: Sequence[int]) -> Written:
        """A prompt with an answer."""
        ids = self.ids(prompt if self.way == "conversation" else prompt.rstrip())
        row = Written(ids, tuple(answer))
        if not answer or row.length > self.policy.context_length:
            raise DataError(
                _(
                    "“{prompt}” and its answer have {count} tokens, and the model reads {most}."
                ).format(prompt=prompt[:SHOWN], count=row.length, most=self.policy.context_length)
            )
        return row

    def _tokens(self, text: str) -> list[int]:
        tokenizer: Any = self.policy.tokenizer
        found: list[int] = tokenizer(text)["input_ids"]
        ends = self.policy.ends
        return found[:-1] if len(found) > 1 and found[-1] in ends else found

    def subject(self, ids: Sequence[int], subject: str) -> tuple[int, int]:
        """The first and the last token of a subject where a prompt names it last; raises DataError."""
        tokenizer: Any = self.policy.tokenizer
        texts = [tokenizer.decode(ids[: count + 1]) for count in range(len(ids))]
        start = texts[-1].rfind(subject)
        if start < 0:
            raise DataError(
                _("The tokens of a prompt do not spell its subject “{subject}”.").format(
                    subject=subject[:SHOWN]
                )
            )
        end = start + len(subject)
        first = next(place for place, text in enumerate(texts) if len(text) > start)
        last = next(place for place, text in enumerate(texts) if len(text) >= end)
        return first, last


@torch.no_grad()
def nats_of(policy: Policy, rows: Sequence[Written]) -> list[float]:
    """Nats a token that a policy needs for answers, one a row."""
    rollouts = rollouts_of(policy, rows)
    logps = completion_token_logps(policy.model, rollouts).double().sum(1)
    return (-logps / rollouts.lengths).tolist()


def most_probable(
    policy: Policy, ids: Sequence[Sequence[int]], count: int
) -> list[tuple[int, ...]]:
    """The most probable answers to prompts, at most so many tokens each."""
    room = policy.context_length - max(map(len, ids))
    drawn = sample(
        policy,
        ids,
        completions=1,
        max_new_tokens=max(1, min(count, room)),
        warp=Warp(temperature=COLD),
        generator=torch.Generator().manual_seed(0),
    )
    return [tuple(row) for row in drawn.completion_ids()]


@torch.no_grad()
def next_logps(policy: Policy, ids: Sequence[Sequence[int]]) -> Tensor:
    """(n, vocab) log-probabilities of the token behind each prompt, in fp32."""
    found = []
    for row in ids:
        one = torch.tensor([list(row)], device=policy.device)
        logits = policy.model(input_ids=one, attention_mask=torch.ones_like(one)).logits
        found.append(logits[0, -1].float().log_softmax(-1).cpu())
    return torch.stack(found)
