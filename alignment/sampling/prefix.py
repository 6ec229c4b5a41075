"""Prompts that a model reads once for all their completions, with the gradient that comes back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignment.sampling.activations import Activations
from alignment.sampling.caching import new_cache, plain_layers
from alignment.sampling.readers.families import reader_of
from alignment.sampling.readers.reader import TokenReader, hiding

WHOLE = "reads_whole_sequences"


class Prefix:
    """Prompts without their last token, padded on the left: completions go on from there.

    Where there are gradients, those of the prompts gather until `backward`, so that the batches of
    completions can be differentiated one by one.
    """

    def __init__(
        self,
        prompts: Sequence[tuple[int, ...]],
        device: torch.device,
        kept: Activations | None = None,
    ) -> None:
        """Read by a model of which activations were `kept`, prompts and completions are looked up there."""
        self.width = max(1, max(map(len, prompts)) - 1)
        padded = [[0] * (self.width - len(prompt) + 1) + list(prompt[:-1]) for prompt in prompts]
        self.ids = torch.tensor(padded, device=device)
        self.lengths = torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)
        self.positions = torch.arange(-self.width, 0, device=device) + self.lengths[:, None]
        self.seen = (self.positions >= 0).long()
        self.kept = kept
        self._places = kept.of_prompts(prompts, self.width) if kept else None
        self._readers: dict[PreTrainedModel, TokenReader | None] = {}
        self._states: dict[PreTrainedModel, list[tuple[Tensor, Tensor]]] = {}
        self._leaves: list[tuple[Tensor, Tensor]] = []

    def reader(self, model: PreTrainedModel) -> TokenReader | None:
        """`reader_of`, asked once, as the model stays what it is while these prompts are read."""
        if model not in self._readers:
            self._readers[model] = reader_of(model)
        return self._readers[model]

    def before(self, last: Tensor) -> Tensor:
        """Of the prompts' last tokens (b,) those that stand before a completion: all, as (b, 1)."""
        return last[:, None]

    def arguments(self, model: PreTrainedModel, ids: Tensor, owners: Tensor) -> dict[str, Any]:
        """What to tell a model that goes on to ids (b, length) from these rows (b,) of the prompts."""
        if model not in self._states:
            self._states[model] = self._read(model)
        cache = new_cache(model, whole=True)
        for layer, (keys, values) in zip(plain_layers(cache), self._states[model], strict=True):
            rows = owners.to(keys.device)
            layer.update(keys.index_select(0, rows), values.index_select(0, rows))
        columns = torch.arange(ids.shape[1], device=ids.device)
        return {
            "past_key_values": cache,
            "use_cache": True,
            "attention_mask": torch.cat([self.seen[owners], torch.ones_like(ids)], 1),
            "position_ids": self.lengths[owners, None] + columns,
        }

    def backward(self) -> None:
        """Hand on to the weights what gradient the completions have left at the prompts."""
        taken = [(states, leaf.grad) for states, leaf in self._leaves if leaf.grad is not None]
        if taken:
            states, gradients = zip(*taken, strict=True)
            torch.autograd.backward(states, gradients)

    def _read(self, model: PreTrainedModel) -> list[tuple[Tensor, Tensor]]:
        cache = new_cache(model, whole=True)
        positions, reader = self.positions.clamp(min=0), self.reader(model)
        if reader is not None:
            hidden = hiding(self.seen, self.width, reader.dtype)
            if self.kept is not None and self._places is not None:
                reader = self.kept.looked_up_by(model, reader, self._places)
            reader.read(self.ids, positions, hidden, cache, keep=1)
        else:
            model(
                input_ids=self.ids,
                attention_mask=self.seen,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        layers = plain_layers(cache)
        assert len(layers) == len(cache.layers)
        return [(self._leaf(layer.keys), self._leaf(layer.values)) for layer in layers]

    def _leaf(self, states: Tensor | None) -> Tensor:
        assert states is not None
        if not states.requires_grad:
            return states
        leaf = states.detach().requires_grad_()
        self._leaves.append((states, leaf))
        return leaf


def can_share(model: PreTrainedModel) -> bool:
    """Whether the model can go on from a cached prompt as if it had read it with what follows."""
    if WHOLE in vars(model):
        return False
    cache = new_cache(model)
    return len(plain_layers(cache)) == len(cache.layers) or reader_of(model) is not None


def read_whole(model: PreTrainedModel) -> None:
    """Let a model read prompts with their completions, where only such forwards do as was asked."""
    vars(model)[WHOLE] = True
