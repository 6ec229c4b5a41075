"""Log-probabilities of given completions under a model: one forward, completion positions only."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from alignment.maths.divergences import NEAR, above_tangent
from alignment.models.encoder_decoders import reads_apart
from alignment.models.sharding import is_spread
from alignment.sampling.activations import Activations
from alignment.sampling.encoded import Encoded
from alignment.sampling.prefix import Prefix, can_share
from alignment.sampling.readers.families import reader_of
from alignment.sampling.readers.reader import TokenReader, hiding
from alignment.sampling.sampling import Rollouts
from alignment.seam.progress import reach

TOKENS = 2048  # padded tokens of one forward
TOKENS_CPU = 512  # their activations fit into its caches: half the time per token
CACHED = 8  # cached tokens that take the memory of one that is read


@dataclass(frozen=True)
class Batch:
    """Rows of similar length, right-padded, with the places of their completions' logits."""

    rows: Tensor  # (b,) of the rollouts
    ids: Tensor  # (b, width) prompt and completion; the last token is not read
    keep: int  # logits kept, counted from the end
    targets: Tensor  # (b, length) completion tokens
    places: Tensor  # (b, length) where, among the kept logits, each target is predicted
    mask: Tensor  # (b, length)
    prefix: Prefix | Encoded | None = None  # what was read before the ids
    owners: Tensor | None = None  # (b,) whose row of the prefix it was; None: each row's own


def batches(model: PreTrainedModel, rollouts: Rollouts, tokens: int = 0) -> Iterator[Batch]:
    """The rows sorted by length, in batches of at most about this many padded tokens, or `budget`."""
    if reads_apart(model):
        yield from _read_apart(rollouts, tokens)
        return
    device = rollouts.tokens.device
    prompt_lengths = [len(prompt) for prompt in rollouts.prompts]
    lengths = rollouts.lengths.tolist()
    totals = [p + c for p, c in zip(prompt_lengths, lengths, strict=True)]
    ids = rollouts.tokens.tolist()
    for rows in _rows_by_length(rollouts, tokens):
        width = max(totals[row] for row in rows) - 1
        first = min(prompt_lengths[row] for row in rows) - 1
        length = max(lengths[row] for row in rows)
        read = [[*rollouts.prompts[row], *ids[row][: lengths[row]]][:width] for row in rows]
        picked = torch.tensor(rows, device=device)
        offsets = torch.tensor([prompt_lengths[row] - 1 - first for row in rows], device=device)
        places = offsets[:, None] + torch.arange(length, device=device)
        yield Batch(
            rows=picked,
            ids=torch.tensor([line + [0] * (width - len(line)) for line in read], device=device),
            keep=width - first,
            targets=rollouts.tokens[picked, :length],
            places=places.clamp(max=width - first - 1),
            mask=rollouts.mask[picked, :length],
        )


def _rows_by_length(rollouts: Rollouts, tokens: int) -> Iterator[list[int]]:
    """The rows in groups of similar length, the longest first."""
    tokens = tokens or budget(rollouts.tokens.device)
    both = zip(map(len, rollouts.prompts), rollouts.lengths.tolist(), strict=True)
    sizes = [(prompt + length, prompt) for prompt, length in both]
    # Equal totals with unequal prompts would keep logits that nobody reads.
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    while order:
        size = max(1, tokens // sizes[order[-1]][0])
        rows, order = order[-size:], order[:-size]
        yield rows


def _read_apart(rollouts: Rollouts, tokens: int) -> Iterator[Batch]:
    """The batches of an encoder-decoder, each row with its prompt for the encoder."""
    device, lengths = rollouts.tokens.device, rollouts.lengths.tolist()
    for rows in _rows_by_length(rollouts, tokens):
        length = max(lengths[row] for row in rows)
        picked = torch.tensor(rows, device=device)
        targets = rollouts.tokens[picked, :length]
        yield Batch(
            rows=picked,
            ids=targets[:, :-1],
            keep=length,
            targets=targets,
            places=torch.arange(length, device=device).expand_as(targets),
            mask=rollouts.mask[picked, :length],
            prefix=Encoded([rollouts.prompts[row] for row in rows], device),
        )


def shared_batches(
    model: PreTrainedModel, rollouts: Rollouts, kept: Activations | None = None
) -> Iterator[Batch]:
    """Batches whose prompts are read once for all their completions, where the model can do that.

    A batch's gradient has to be taken before the next one is asked for. Of a model that is held in parts
    there is one batch. What is `kept` of the model's activations is looked up.
    """
    if is_spread(model):
        yield from batches(model, rollouts, sys.maxsize)
        return
    prompts = sorted(set(rollouts.prompts), key=len)
    if len(prompts) == len(rollouts.prompts) or not can_share(model):
        yield from batches(model, rollouts)
        return
    device = rollouts.tokens.device
    while prompts:
        size = max(1, budget(device) // len(prompts[-1]))
        chosen, prompts = prompts[-size:], prompts[:-size]
        prefix = prefix_of(model, chosen, device, kept)
        yield from _continued(rollouts, chosen, prefix)
        prefix.backward()


def prefix_of(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    device: torch.device,
    kept: Activations | None = None,
) -> Prefix | Encoded:
    """Prompts that a model reads once for all their completions."""
    return Encoded(prompts, device) if reads_apart(model) else Prefix(prompts, device, kept)


def _continued(
    rollouts: Rollouts, prompts: Sequence[tuple[int, ...]], prefix: Prefix | Encoded
) -> Iterator[Batch]:
    """These prompts' completions, sorted by length."""
    place = {prompt: number for number, prompt in enumerate(prompts)}
    lengths, device = rollouts.lengths.tolist(), rollouts.tokens.device
    order = [row for row, prompt in enumerate(rollouts.prompts) if prompt in place]
    order.sort(key=lengths.__getitem__)
    while order:
        length = lengths[order[-1]]
        size = max(1, budget(device) // (length + prefix.width // CACHED))
        size = math.ceil(len(order) / math.ceil(len(order) / size))  # none much smaller than others
        rows, order = order[-size:], order[:-size]
        picked = torch.tensor(rows, device=device)
        last = picked.new_tensor([rollouts.prompts[row][-1] for row in rows])
        targets = rollouts.tokens[picked, :length]
        yield Batch(
            rows=picked,
            ids=torch.cat([prefix.before(last), targets[:, :-1]], 1),
            keep=length,
            targets=targets,
            places=torch.arange(length, device=device).expand_as(targets),
            mask=rollouts.mask[picked, :length],
            prefix=prefix,
            owners=picked.new_tensor([place[rollouts.prompts[row]] for row in rows]),
        )


def budget(device: torch.device) -> int:
    """Tokens of one forward that is to be differentiated."""
    return TOKENS_CPU if device.type == "cpu" else TOKENS


def packed(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places in groups of similar size, the largest first; of a group none but a lone one exceeds `most`.

    A group is as large as its largest member times their number, as padding makes it.
    """
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    while order:
        count = max(1, most // max(1, sizes[order[-1]]))
        group, order = order[-count:], order[:-count]
        yield group


def completion_token_logps(
    model: PreTrainedModel, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """(n, length) log-probabilities of the completions' tokens under the model, 0 where masked."""
    width = rollouts.tokens.shape[1]
    rows, parts = [], []
    if torch.is_grad_enabled() and not is_spread(model):
        found = batches(
            model, rollouts
        )  # whoever wants gradients takes them of all batches at once
    else:
        found = shared_batches(model, rollouts)
    for batch in _counted(found, rollouts):
        logps = token_logps(completion_logits(model, batch, temperature), batch)
        parts.append(torch.nn.functional.pad(logps, (0, width - logps.shape[1])))
        rows.append(batch.rows)
    return torch.cat(parts)[torch.cat(rows).argsort()]


def logps_to_learn_from(
    model: PreTrainedModel, rollouts: Rollouts
) -> tuple[Tensor, Callable[[], None]]:
    """`completion_token_logps` with gradient, and what to call once gradients were taken.

    Prompts are read once for all their completions, where the model can do that; the call hands on to
    the weights what the completions have left there.
    """
    prompts = list(dict.fromkeys(rollouts.prompts))
    if len(prompts) == len(rollouts.prompts) or not can_share(model):
        return completion_token_logps(model, rollouts), _nothing
    width = rollouts.tokens.shape[1]
    prefix = prefix_of(model, prompts, rollouts.tokens.device)
    rows, parts = [], []
    for batch in _continued(rollouts, prompts, prefix):
        logps = token_logps(completion_logits(model, batch), batch)
        parts.append(torch.nn.functional.pad(logps, (0, width - logps.shape[1])))
        rows.append(batch.rows)
    return torch.cat(parts)[torch.cat(rows).argsort()], prefix.backward


def _counted(batches: Iterable[Batch], rollouts: Rollouts) -> Iterator[Batch]:
    """The batches of completions, each of which is done when the next one is asked for."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.rows)
        reach(done / len(rollouts.prompts))


def _nothing() -> None:
    """There is nothing left to do."""


@torch.no_grad()
def completion_token_kls(
    policy: PreTrainedModel, reference: PreTrainedModel, rollouts: Rollouts
) -> Tensor:
    """(n, length) KL(policy || reference) of the next token at each place, 0 where masked.

    Summed over a completion drawn from the policy it is the Rao-Blackwell estimate of
    KL(policy || reference) for its prompt: unbiased, never negative, as no token of the vocabulary adds less
    than 0: pi log(pi / q) - pi + q, whose last terms cancel in the sum.
    """
    kls = torch.zeros_like(rollouts.token_logps)
    for batch in _counted(shared_batches(policy, rollouts), rollouts):
        logps = completion_logits(policy, batch).log_softmax(-1)
        others = completion_logits(reference, batch).log_softmax(-1)
        values = token_kl(logps, others).sum(-1).gather(1, batch.places)
        length = values.shape[1]
        kls[batch.rows, :length] = values.masked_fill(~batch.mask, 0.0)
    return kls


def token_kl(logps: Tensor, others: Tensor) -> Tensor:
    """pi log(pi / q) - pi + q of every token of a vocabulary, from log pi and log q."""
    chances, distance = logps.exp(), logps - others
    near = chances * above_tangent(distance.clamp(-NEAR, NEAR))
    return torch.where(distance.abs() < NEAR, near, chances * distance - chances + others.exp())


@torch.no_grad()
def completion_token_entropies(
    model: PreTrainedModel, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """(n, length) entropy in nats of the next token at each place, 0 where masked.

    Summed over a completion drawn from the model it is the Rao-Blackwell estimate of the entropy of all
    its completions.
    """
    entropies = torch.zeros_like(rollouts.token_logps)
    for batch in _counted(shared_batches(model, rollouts), rollouts):
        logps = completion_logits(model, batch, temperature).log_softmax(-1)
        values = -(logps.exp() * logps).sum(-1).gather(1, batch.places)
        length = values.shape[1]
        entropies[batch.rows, :length] = values.masked_fill(~batch.mask, 0.0)
    return entropies


def completion_logits(model: PreTrainedModel, batch: Batch, temperature: float = 1.0) -> Tensor:
    """(b, keep, vocab) logits, in fp32 or better, from the first place that predicts a target."""
    if isinstance(batch.prefix, Encoded):
        logits = batch.prefix.logits(model, batch.ids, batch.owners, batch.keep)
    else:
        logits = _continued_logits(model, batch, batch.prefix)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits if temperature == 1 else logits / temperature


def _continued_logits(model: PreTrainedModel, batch: Batch, prefix: Prefix | None) -> Tensor:
    """(b, keep, vocab) logits of a model that reads prompt and completion in one row."""
    before: dict[str, Any] | None = None
    if prefix is not None and batch.owners is not None:
        before = prefix.arguments(model, batch.ids, batch.owners)
    reader = reader_of(model) if prefix is None else prefix.reader(model)
    if reader is not None and prefix is not None and prefix.kept is not None:
        places = prefix.kept.places[batch.rows, : batch.ids.shape[1]]
        reader = prefix.kept.looked_up_by(model, reader, places)
    if reader is not None:
        return _read(reader, batch, before)
    # Padding is on the right of a causal model: no token that counts sees it, and a mask of
    # ones takes the attention path without a mask.
    alone = {"use_cache": False, "attention_mask": torch.ones_like(batch.ids)}
    asked = before or alone
    logits: Tensor = model(input_ids=batch.ids, logits_to_keep=batch.keep, **asked).logits
    return logits


def _read(reader: TokenReader, batch: Batch, before: Mapping[str, Any] | None) -> Tensor:
    """The logits by a reader, which is told what stands before the batch as its model would be."""
    if before is None:
        columns = torch.arange(batch.ids.shape[1], device=batch.ids.device)[None]
        return reader.read(batch.ids, columns, keep=batch.keep)
    hidden = hiding(before["attention_mask"], batch.ids.shape[1], reader.dtype)
    places, cache = before["position_ids"], before["past_key_values"]
    return reader.read(batch.ids, places, hidden, cache, keep=batch.keep)


def token_logps(logits: Tensor, batch: Batch) -> Tensor:
    """(b, length) log-probabilities of the batch's targets given its kept logits, 0 where masked."""
    picked: Any = _Picked  # whose apply has no types
    found: Tensor = picked.apply(logits, batch.places, batch.targets)
    return found.masked_fill(~batch.mask, 0.0)


class _Picked(torch.autograd.Function):
    """Log-probabilities of targets, differentiated in one allocation: half the time of autograd's four."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, places: Tensor, targets: Tensor) -> Tensor:  # noqa: ANN401
        """(b, length) of logits (b, keep, vocab) at places and targets (b, length)."""
        totals = logits.logsumexp(-1)
        ctx.save_for_backward(logits, totals, places, targets)
        rows = torch.arange(len(logits), device=logits.device)[:, None]
        return logits[rows, places, targets] - totals.gather(1, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """weights * (one-hot of the target - softmax)."""
        logits, totals, places, targets = ctx.saved_tensors
        at_place = torch.zeros_like(totals).scatter_add(1, places, weights)
        found = (logits - totals[..., None]).exp_().mul_(-at_place[..., None])
        rows = torch.arange(len(logits), device=logits.device)[:, None].expand_as(places)
        return found.index_put_((rows, places, targets), weights, accumulate=True), None, None
