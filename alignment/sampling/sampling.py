"""Completions of a policy, drawn with a key-value cache, with the log-probabilities they had.

The probability of a completion is the product of its tokens' and of the token's that ends it: of several
that can, each makes an outcome of its own. One that is cut at the length limit has no end factor, so over
all outcomes the probabilities sum to 1. A stop string ends a completion too (`alignment.sampling.stops`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignment.models.devices import device_of
from alignment.models.distributed import gathered, own, world
from alignment.models.encoder_decoders import reads_apart, starts_of
from alignment.models.policies import Policy
from alignment.models.sharding import held_whole
from alignment.sampling.activations import Activations, activations_of
from alignment.sampling.caching import keep, new_cache, repeat
from alignment.sampling.encoded import EncodedDecoder
from alignment.sampling.readers.families import reader_of
from alignment.sampling.readers.reader import hiding
from alignment.sampling.stops import StopWatch
from alignment.sampling.warps import PLAIN, Warp, warped
from alignment.seam.errors import DataError
from alignment.seam.progress import reach
from alignment.seam.words import _

FULL = 0.9  # share of a cache's rows that still run: to make room costs more than the others do


@dataclass(frozen=True)
class Rollouts:
    """Completions of one or more prompts; the rows of a prompt are contiguous."""

    prompts: tuple[tuple[int, ...], ...]  # token ids, one prompt per row
    tokens: Tensor  # (n, length) ids, right-padded, with the token that ends them
    mask: Tensor  # (n, length) bool: tokens that count
    token_logps: Tensor  # (n, length) the sampler's log-probabilities, 0 where masked
    truncated: Tensor  # (n,) bool: cut at the limit, with no end before it
    kept: Activations | None = None  # of the model that drew them, where somebody is to learn

    @property
    def logps(self) -> Tensor:
        """(n,) log-probabilities (nats) of the completions: sums over tokens, never means."""
        return self.token_logps.sum(1)

    @property
    def lengths(self) -> Tensor:
        """(n,) counted tokens, with the one that ends them."""
        return self.mask.sum(1)

    def rows(self, picked: Tensor) -> "Rollouts":
        """The rows of these numbers, in their order."""
        places = picked.tolist()
        return Rollouts(
            tuple(self.prompts[place] for place in places),
            self.tokens[picked],
            self.mask[picked],
            self.token_logps[picked],
            self.truncated[picked],
        )

    def completion_ids(self) -> list[list[int]]:
        """Each row's counted tokens."""
        rows = zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)
        return [ids[:length] for ids, length in rows]


class _Asked(NamedTuple):
    """What is asked of a sampler beside the prompts."""

    completions: int
    limit: int
    warp: Warp
    to_learn: bool


def sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    *,
    completions: int,
    max_new_tokens: int,
    warp: Warp = PLAIN,
    generator: torch.Generator,
) -> Rollouts:
    """Draw completions of every prompt; raises DataError where one does not fit the context.

    The random numbers of a row do not depend on when other rows end. Of several processes, each draws
    completions of its own prompts, and all have all of them.
    """
    asked = _Asked(completions, max_new_tokens, warp, to_learn=False)
    return _sampled(policy, prompts, asked, generator)


def sample_to_learn(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    *,
    completions: int,
    max_new_tokens: int,
    warp: Warp = PLAIN,
    generator: torch.Generator,
) -> Rollouts:
    """The same, of a policy that learns from them next: its activations are kept where that is worth it."""
    asked = _Asked(completions, max_new_tokens, warp, to_learn=world().size == 1)
    return _sampled(policy, prompts, asked, generator)


@torch.no_grad()
def _sampled(
    policy: Policy, prompts: Sequence[Sequence[int]], asked: _Asked, generator: torch.Generator
) -> Rollouts:
    _check_room(policy, prompts, asked.limit)
    copies, warp = asked.completions, asked.warp
    rows = len(prompts) * copies
    uniforms = torch.rand(rows, asked.limit, dtype=torch.float64, generator=generator)
    mine = own(len(prompts))
    with held_whole(policy.model):
        drawn = _draw(
            policy,
            prompts[mine.start : mine.stop],
            asked,
            uniforms[mine.start * copies : mine.stop * copies].to(policy.device),
        )
    tokens, logps = gathered(drawn.tokens), gathered(drawn.logps)
    # The first of a row, and what it was filled with.
    ends = torch.isin(tokens, torch.tensor(policy.ends, device=policy.device))
    if warp.stops:
        ends |= gathered(drawn.stopped.byte()).bool()
    mask = (ends.cumsum(1) - ends.long()) == 0
    longest = int(mask.sum(1).max())
    return Rollouts(
        tuple(tuple(prompt) for prompt in prompts for _ in range(copies)),
        tokens[:, :longest],
        mask[:, :longest],
        token_logps=logps[:, :longest],
        truncated=~ends.any(1),
        kept=drawn.kept,
    )


class _Written(NamedTuple):
    """What was drawn, (rows, limit) each; behind a completion's end come more ends, of log-probability 0."""

    tokens: Tensor
    logps: Tensor
    stopped: Tensor  # where a stop string is whole
    kept: Activations | None = None


def _draw(
    policy: Policy, prompts: Sequence[Sequence[int]], asked: _Asked, uniforms: Tensor
) -> _Written:
    """Completions by uniform random numbers (rows, limit)."""
    (rows, limit), warp = uniforms.shape, asked.warp
    ends = torch.tensor(policy.ends, device=policy.device)
    tokens = torch.full((rows, limit), policy.turn_end, device=policy.device)
    logps = torch.zeros(
        tokens.shape,
        device=policy.device,
        dtype=torch.promote_types(next(policy.model.parameters()).dtype, torch.float32),
    )
    stopped = torch.zeros(tokens.shape, device=policy.device, dtype=torch.bool)
    if not rows:
        return _Written(tokens, logps, stopped)
    decoder = decoder_of(policy.model, prompts, asked.completions, limit, to_learn=asked.to_learn)
    watch = StopWatch(
        policy, [one for one in prompts for _ in range(asked.completions)], warp.stops
    )
    seen = _seen(policy, prompts, asked.completions) if warp.penalty != 1 else None
    active = torch.arange(rows, device=policy.device)  # which rows the decoder's are
    ended = torch.zeros_like(active, dtype=torch.bool)
    for step in range(limit):
        choice, logp = _choose(warped(decoder.logits, warp, seen), uniforms[active, step])
        choice = choice.masked_fill_(ended, policy.turn_end)
        tokens[active, step], logps[active, step] = choice, logp.masked_fill_(ended, 0.0)
        ended = torch.isin(choice, ends)
        if warp.stops:
            stopped[active, step] = watch.stopped(tokens[:, : step + 1], active)
            ended |= stopped[active, step]
        running = ~ended.cpu()  # the one host sync of a step
        left = int(running.sum())
        reach(1 - left / rows * (1 - (step + 1) / limit))
        if step + 1 == limit or not left:
            break
        if left <= FULL * len(active):
            kept = decoder.keep(running)
            choice, active, ended = choice[kept], active[kept], ended[:left].zero_()
            seen = None if seen is None else seen[kept]
        seen = None if seen is None else seen.scatter_(1, choice[:, None], value=True)
        decoder.advance(choice)
    return _Written(tokens, logps, stopped, decoder.kept)


def _seen(policy: Policy, prompts: Sequence[Sequence[int]], copies: int) -> Tensor:
    """(rows, vocab) bool: the tokens of each completion's prompt, or that an encoder-decoder begins with."""
    found = torch.zeros(len(prompts), policy.width, dtype=torch.bool, device=policy.device)
    for row, prompt in enumerate(prompts):
        read = starts_of(policy.model) if policy.apart else prompt
        found[row, torch.tensor(read, device=policy.device)] = True
    return found.repeat_interleave(copies, 0)


@torch.no_grad()
def decoded_token_logps(model: PreTrainedModel, rollouts: Rollouts) -> Tensor:
    """(n, length) log-probabilities of given completions by the sampler's way, 0 where masked.

    Every prompt has as many rows; a row is forgotten once its completion has ended.
    """
    prompts = list(dict.fromkeys(rollouts.prompts))
    limit, found = rollouts.tokens.shape[1], torch.zeros_like(rollouts.token_logps)
    decoder = decoder_of(model, prompts, len(rollouts.prompts) // len(prompts), limit)
    active = torch.arange(len(rollouts.prompts), device=found.device)
    for step in range(limit):
        tokens = rollouts.tokens[active, step]
        logps = decoder.logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]
        found[active, step] = logps.to(found.dtype)
        running = rollouts.mask[active, min(step + 1, limit - 1)].cpu()
        if step + 1 == limit or not running.any():
            break
        kept = decoder.keep(running)
        active = active[kept]
        decoder.advance(tokens[kept])
    return found.masked_fill(~rollouts.mask, 0.0)


def parted(rollouts: Rollouts, compute: Callable[[Rollouts], Tensor]) -> Tensor:
    """What a function says of every row (n, ...), of which each process asks about its own."""
    if world().size == 1:
        return compute(rollouts)
    mine = own(len(rollouts.prompts))
    picked = torch.tensor(
        list(mine) or [0], device=rollouts.tokens.device
    )  # nobody asks about nothing
    return gathered(compute(rollouts.rows(picked))[: len(mine)])


def decoder_of(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    copies: int,
    room: int,
    *,
    to_learn: bool = False,
) -> "_Decoder | EncodedDecoder":
    """What writes so many completions of each prompt, token by token, with room for so many."""
    if reads_apart(model):
        return EncodedDecoder(model, prompts, copies, room)
    return _Decoder(model, prompts, copies, room, to_learn=to_learn)


class _Decoder:
    """The cache of the rows that are still decoded, and the logits (rows, vocab) of their next token."""

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        copies: int,
        room: int,
        *,
        to_learn: bool,
    ) -> None:
        """Run each prompt once, then share its cache among its completions."""
        self.model, self.reader = model, reader_of(model)
        self.rows, self.step = torch.arange(len(prompts) * copies), 0
        self.kept = self._keeping(prompts, copies, room) if to_learn else None
        self.cache = new_cache(model, whole=self.reader is not None)
        device = device_of(model)
        self.length = max(len(prompt) for prompt in prompts)
        pads = torch.tensor([self.length - len(prompt) for prompt in prompts], device=device)
        padded = [[0] * (self.length - len(prompt)) + list(prompt) for prompt in prompts]
        columns = torch.arange(self.length + room, device=device)
        self.mask = (columns >= pads[:, None]).long()
        self.positions = self.length - 1 - pads  # of the last token read
        positions = (columns[: self.length] - pads[:, None]).clamp(min=0)
        self.hidden = self._hiding(self.mask[:, : self.length], self.length)
        self.logits = self._forward(torch.tensor(padded, device=device), positions)
        repeat(self.cache, len(prompts), copies, room)
        self.logits = self.logits.repeat_interleave(copies, 0)
        self.mask = self.mask.repeat_interleave(copies, 0)
        self.positions = self.positions.repeat_interleave(copies, 0)
        self.hidden = self._hiding(self.mask, 1) if pads.any() else None

    def advance(self, tokens: Tensor) -> None:
        """Read one more token (rows,) per row."""
        self.length += 1
        self.step += 1
        if self.kept is not None:
            self.kept.begin(self.rows, self.step)
        self.positions = self.positions + 1
        self.logits = self._forward(tokens[:, None], self.positions[:, None])

    def keep(self, rows: Tensor) -> Tensor:
        """Forget the rows that are False; which of the former ones the rows are now."""
        kept = keep(self.cache, rows, self.mask.device)
        self.rows = self.rows[kept] if self.kept is not None else self.rows
        self.mask, self.positions = self.mask[kept], self.positions[kept]
        self.hidden = None if self.hidden is None else self.hidden[kept]
        return kept

    def _keeping(
        self, prompts: Sequence[Sequence[int]], copies: int, room: int
    ) -> Activations | None:
        """Where the reader writes what its layers give, if it does."""
        if self.reader is None:
            return None
        shape = torch.Size((len(prompts) * copies, room))
        found = activations_of(self.model, self.reader, prompts, shape)
        if found is not None:
            self.reader = found.written_by(self.reader)
        return found

    def _hiding(self, seen: Tensor, tokens: int) -> Tensor | None:
        """What hides padding from so many tokens at once, where the reader has to be told."""
        return None if self.reader is None else hiding(seen, tokens, self.reader.dtype)

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Logits (rows, vocab) behind the last of some more tokens (rows, tokens)."""
        if self.reader is not None:
            hidden = None if self.hidden is None else self.hidden[..., : self.length]
            logits = self.reader.read(ids, positions, hidden, self.cache, keep=1)[:, -1]
        else:
            logits = self.model(
                input_ids=ids,
                position_ids=positions,
                attention_mask=self.mask[:, : self.length],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _choose(logits: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """A token (rows,) of each row of logits (rows, vocab), and its log-probability.

    Inverse of the distribution function at a uniform number: one random number per token, and
    tokens of probability 0 are never drawn.
    """
    largest = logits.amax(-1, keepdim=True)
    steps = (logits - largest).exp_().cumsum(-1, dtype=torch.float64)
    total = steps[:, -1:]
    wanted = uniforms[:, None] * total
    token = torch.searchsorted(steps, wanted, right=True).clamp(max=logits.shape[-1] - 1)
    logp = logits.gather(-1, token) - largest - total.log()
    return token[:, 0], logp[:, 0].to(logits.dtype)


def _check_room(policy: Policy, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    room = policy.room(max_new_tokens)
    for prompt in prompts:
        if not 0 < len(prompt) <= room:
            start = policy.text(prompt)[:60]
            raise DataError(
                _(
                    "The prompt “{start}…” has {n} tokens; a context of {context_length} tokens leaves "
                    "it {room} beside a completion of {max_new_tokens}. Shorten the prompt or the "
                    "completion length limit."
                ).format(
                    start=start,
                    n=len(prompt),
                    context_length=policy.context_length,
                    room=room,
                    max_new_tokens=max_new_tokens,
                )
            )
