"""Several conversations in one row of a forward, none of which reads another: no padding is computed.

Each has positions of its own, from 0 on, and sees itself alone by a mask; so a row may be longer than the model's
context, and what is told of each token is what a forward of its own would tell.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from alignment.models.computation import computes_in_bf16
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.sampling.scoring import Batch, budget, completion_token_logps, token_logps
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

COMPARED = 2  # rows that show whether a model can be read so
NEAR, COARSE = 1e-3, 0.1  # nats a token, in single and in half precision


def full_rows(policy: Policy, lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places in groups that one forward takes as one row, each as full as the next shorter ones make it."""
    most = max(budget(policy.device), max(lengths))
    left = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    while left:
        group, room = [], most
        for place in left:
            if lengths[place] <= room:
                group.append(place)
                room -= lengths[place]
        left = [place for place in left if place not in set(group)]
        yield group


def joint_logps(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(n, length) log-probabilities of the completions' tokens, 0 beyond each, by one forward of one row."""
    device = policy.device
    reads = [[*row.prompt, *row.completion][:-1] for row in rows]
    sizes = torch.tensor([len(ids) for ids in reads], device=device)
    owners = torch.arange(len(rows), device=device).repeat_interleave(sizes)
    starts = sizes.cumsum(0) - sizes
    places = torch.arange(len(owners), device=device) - starts[owners]
    seen = (owners[:, None] == owners) & (places[:, None] >= places)
    dtype = policy.model.dtype
    mask = torch.zeros(seen.shape, dtype=dtype, device=device)
    mask = mask.masked_fill(~seen, torch.finfo(dtype).min)[None, None]
    logits = policy.model(
        input_ids=torch.tensor([[token for ids in reads for token in ids]], device=device),
        position_ids=places[None],
        attention_mask=mask,
        use_cache=False,
    ).logits
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return _by_row(logits, rows, starts)


def _by_row(logits: Tensor, rows: Sequence[Written], starts: Tensor) -> Tensor:
    """The log-probabilities of each row's completion, from the logits (1, all, vocab) of all rows."""
    device = logits.device
    counts = [len(row.completion) for row in rows]
    first = [start + len(row.prompt) - 1 for start, row in zip(starts.tolist(), rows, strict=True)]
    told = [at + n for at, count in zip(first, counts, strict=True) for n in range(count)]
    batch = Batch(
        rows=torch.zeros(1, dtype=torch.long, device=device),
        ids=torch.zeros((1, 0), dtype=torch.long, device=device),
        keep=logits.shape[1],
        targets=torch.tensor([[t for row in rows for t in row.completion]], device=device),
        places=torch.tensor([told], device=device),
        mask=torch.ones((1, len(told)), dtype=torch.bool, device=device),
    )
    each = torch.split(token_logps(logits, batch)[0], counts)
    return torch.nn.utils.rnn.pad_sequence(list(each), batch_first=True)


@torch.no_grad()
def check_joint(policy: Policy, rows: Sequence[Written]) -> None:
    """Raise ConfigError where a model tells something else of conversations that stand in one row."""
    some = rows[:COMPARED]
    try:
        found = joint_logps(policy, some)
    except (TypeError, ValueError, RuntimeError, IndexError):
        distance = float("inf")
    else:
        alone = completion_token_logps(policy.model, rollouts_of(policy, some))
        distance = (found - alone).abs().nan_to_num(torch.inf).max().item()
    half = computes_in_bf16(policy.model) or policy.model.dtype.itemsize < 4
    if distance > (COARSE if half else NEAR):
        raise ConfigError(
            _(
                "This architecture reads conversations that stand in one row as one, so they cannot be packed; "
                "leave packing out."
            )
        )
