"""The value of a state: what reward a policy that has written so far can still expect."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignment.models.devices import device_of
from alignment.models.policies import output_layer
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import Batch, completion_logits, shared_batches


class ValueHead(nn.Module):
    """A value (...) from each of a policy's last hidden states (..., width); 0 until it has learned.

    `trunk_weight` scales the gradient that the states get, and with them the policy.
    """

    def __init__(self, width: int, trunk_weight: float, seed: int) -> None:
        super().__init__()
        self.trunk_weight = trunk_weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    @classmethod
    def of(cls, model: PreTrainedModel, trunk_weight: float, seed: int) -> "ValueHead":
        """A head for this policy, beside its weights."""
        weight: Any = output_layer(model).weight
        head = cls(weight.shape[1], trunk_weight, seed)
        dtype = torch.promote_types(weight.dtype, torch.float32)
        return head.to(device_of(model), dtype)

    def forward(self, states: Tensor) -> Tensor:
        fixed = states.detach()
        states = (fixed + self.trunk_weight * (states - fixed)).to(self.outer.weight.dtype)
        found: Tensor = self.outer(torch.tanh(self.inner(states)))
        return found[..., 0]


def watched(model: PreTrainedModel, head: ValueHead | None) -> AbstractContextManager[list[Tensor]]:
    """The states that the head needs of every forward inside; none where there is no head."""
    return nullcontext([]) if head is None else last_states(model)


@contextmanager
def last_states(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """What the output layer reads, (b, keep, width), in every forward inside."""
    seen: list[Tensor] = []
    device = device_of(model)

    def see(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].to(device))

    handle = output_layer(model).register_forward_pre_hook(see)
    try:
        yield seen
    finally:
        handle.remove()


def values_at(head: ValueHead, states: Tensor, batch: Batch) -> Tensor:
    """(b, length) values before each of a batch's targets, from its kept states."""
    values: Tensor = head(states[:, -batch.keep :]).gather(1, batch.places)
    return values.masked_fill(~batch.mask, 0.0)


@torch.no_grad()
def completion_values(model: PreTrainedModel, head: ValueHead, rollouts: Rollouts) -> Tensor:
    """(n, length) values before each token of the completions, 0 where masked."""
    found = torch.zeros(
        rollouts.mask.shape, device=rollouts.mask.device, dtype=head.outer.weight.dtype
    )
    for batch in shared_batches(model, rollouts):
        with last_states(model) as states:
            completion_logits(model, batch)
        length = batch.mask.shape[1]
        found[batch.rows, :length] = values_at(head, states[-1], batch)
    return found
