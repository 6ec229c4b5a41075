"""Log-probabilities of given completions under a model: one forward, completion positions only."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignment.sampling import Rollouts
from alignment.sharding import is_spread

TOKENS = 2048  # padded tokens of one forward


@dataclass(frozen=True)
class Batch:
    """Rows of similar length, right-padded, with the places of their completions' logits."""

    rows: Tensor  # (b,) of the rollouts
    ids: Tensor  # (b, width) prompt and completion; the last token is not read
    keep: int  # logits kept, counted from the end
    targets: Tensor  # (b, length) completion tokens
    places: Tensor  # (b, length) where, among the kept logits, each target is predicted
    mask: Tensor  # (b, length)


def batches(rollouts: Rollouts, tokens: int = TOKENS) -> Iterator[Batch]:
    """The rows sorted by length, in batches of at most about this many padded tokens."""
    device = rollouts.tokens.device
    prompt_lengths = [len(prompt) for prompt in rollouts.prompts]
    lengths = rollouts.lengths.tolist()
    totals = [p + c for p, c in zip(prompt_lengths, lengths, strict=True)]
    # Equal totals with unequal prompts would keep logits that nobody reads.
    order = sorted(range(len(totals)), key=lambda row: (totals[row], prompt_lengths[row]))
    ids = rollouts.tokens.tolist()
    while order:
        size = max(1, tokens // totals[order[-1]])
        rows, order = order[-size:], order[:-size]
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


def completion_token_logps(
    model: PreTrainedModel, rollouts: Rollouts, *, temperature: float = 1.0
) -> Tensor:
    """(n, length) log-probabilities of the completions' tokens under the model, 0 where masked."""
    width = rollouts.tokens.shape[1]
    rows, parts = [], []
    tokens = sys.maxsize if is_spread(model) else TOKENS
    for batch in batches(rollouts, tokens):
        logps = token_logps(completion_logits(model, batch) / temperature, batch)
        parts.append(torch.nn.functional.pad(logps, (0, width - logps.shape[1])))
        rows.append(batch.rows)
    return torch.cat(parts)[torch.cat(rows).argsort()]


@torch.no_grad()
def completion_token_kls(
    policy: PreTrainedModel, reference: PreTrainedModel, rollouts: Rollouts
) -> Tensor:
    """(n, length) KL(policy || reference) of the next token at each place, 0 where masked.

    Summed over a completion drawn from the policy it is the Rao-Blackwell estimate of
    KL(policy || reference) for its prompt: unbiased, never negative.
    """
    kls = torch.zeros_like(rollouts.token_logps)
    for batch in batches(rollouts):
        logps = completion_logits(policy, batch).log_softmax(-1)
        excess = logps - completion_logits(reference, batch).log_softmax(-1)
        values = (logps.exp() * excess).sum(-1).gather(1, batch.places)
        length = values.shape[1]
        kls[batch.rows, :length] = values.masked_fill(~batch.mask, 0.0)
    return kls


def completion_logits(model: PreTrainedModel, batch: Batch) -> Tensor:
    """(b, keep, vocab) logits, in fp32 or better, from the first place that predicts a target."""
    logits: Tensor = model(
        input_ids=batch.ids,
        # Padding is on the right of a causal model: no token that counts sees it, and a mask of
        # ones takes the attention path without a mask.
        attention_mask=torch.ones_like(batch.ids),
        use_cache=False,
        logits_to_keep=batch.keep,
    ).logits
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def token_logps(logits: Tensor, batch: Batch) -> Tensor:
    """(b, length) log-probabilities of the batch's targets given its kept logits, 0 where masked."""
    totals = logits.logsumexp(-1).gather(1, batch.places)
    rows = torch.arange(len(batch.rows), device=logits.device)[:, None]
    chosen = logits[rows, batch.places, batch.targets]
    return (chosen - totals).masked_fill(~batch.mask, 0.0)
