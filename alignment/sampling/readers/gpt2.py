"""GPT-2 reading on: its own equations, without what transformers does around them.

A step is many small operations, and on small models transformers spends as much time on finding out
which ones as on computing them. So completions are read here, by the model's own weights. Only a model
that is GPT-2 and nothing more (no hook, no other precision, no adapter but LoRA) is read so.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model

from alignment.models.policies import output_layer
from alignment.sampling.readers.maps import (
    Map,
    computes_as_known,
    layers_of,
    map_of,
    with_layers,
)

_PARTS = {GPT2LMHeadModel, GPT2Model, GPT2Block, GPT2Attention, GPT2MLP, nn.LayerNorm}


class Norm(NamedTuple):
    """A layer norm."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, states: Tensor) -> Tensor:
        """The normalised states (..., width)."""
        return F.layer_norm(states, states.shape[-1:], *self)


class Block(NamedTuple):
    """A transformer block."""

    norm_1: Norm
    project: Map  # to queries, keys and values
    mix: Map
    norm_2: Norm
    widen: Map
    activation: nn.Module
    narrow: Map

    @classmethod
    def of(cls, block: Any, *, adapted: bool) -> "Block":  # noqa: ANN401 - a GPT2Block, whose parts have no types
        """The weights of transformers' own."""
        attention, inner = block.attn, block.mlp
        return cls(
            norm_of(block.ln_1),
            map_of(attention.c_attn, adapted=adapted),
            map_of(attention.c_proj, adapted=adapted),
            norm_of(block.ln_2),
            map_of(inner.c_fc, adapted=adapted),
            inner.act,
            map_of(inner.c_proj, adapted=adapted),
        )

    def read(
        self, states: Tensor, heads: int, layer: DynamicLayer | None, hidden: Tensor | None
    ) -> Tensor:
        """States (rows, length, width) after this block, which keeps them in its layer of a cache."""
        rows, length, width = states.shape
        projected = self.project(self.norm_1(states)).view(rows, length, 3, heads, width // heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        if layer is not None:
            key, value = layer.update(key, value)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=hidden, is_causal=layer is None
        )
        states = self.mix(mixed.transpose(1, 2).reshape(states.shape)).add_(states)
        return self.narrow(self.activation(self.widen(self.norm_2(states)))).add_(states)


class GPT2Reader(NamedTuple):
    """The weights of a GPT-2."""

    tokens: nn.Module
    places: nn.Module
    blocks: tuple[Block, ...]
    norm: Norm
    head: Map
    heads: int

    @property
    def dtype(self) -> torch.dtype:
        """In which precision it computes."""
        return self.norm.weight.dtype

    @property
    def layers(self) -> list[Map]:
        """The linear layers of its blocks."""
        return layers_of(self.blocks)

    def with_layers(self, change: Callable[[Map], Map]) -> "GPT2Reader":
        """The same, with the linear layers of its blocks changed in their order."""
        return self._replace(blocks=with_layers(self.blocks, change))

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        hidden: Tensor | None = None,
        cache: DynamicCache | None = None,
        *,
        keep: int,
    ) -> Tensor:
        """Logits (rows, keep, vocab) behind the last tokens of each row, as `TokenReader` says."""
        states = self.tokens(ids) + self.places(positions)
        layers: Sequence[Any] = cache.layers if cache is not None else [None] * len(self.blocks)
        for block, layer in zip(self.blocks, layers, strict=True):
            states = block.read(states, self.heads, layer, hidden)
        return self.head(self.norm(states[:, -keep:]))


def gpt2_reader(model: PreTrainedModel, *, adapted: bool) -> GPT2Reader | None:
    """How to read a GPT-2's tokens fast; None where only the model itself knows what it computes."""
    if not _is_plain(model):
        return None
    body: Any = model.transformer
    return GPT2Reader(
        body.wte,
        body.wpe,
        tuple(Block.of(block, adapted=adapted) for block in body.h),
        norm_of(body.ln_f),
        map_of(output_layer(model), adapted=adapted),
        model.config.n_head,
    )


def norm_of(module: nn.LayerNorm) -> Norm:
    """A module's weights."""
    return Norm(module.weight, module.bias, module.eps)


def _is_plain(model: PreTrainedModel) -> bool:
    """Whether each part is GPT-2's own, computes as usual, and nobody listens to it."""
    if type(model) is not GPT2LMHeadModel or _is_variant(model.config):
        return False
    body: Any = model.transformer
    return computes_as_known(model, _PARTS, {block.mlp.act for block in body.h})


def _is_variant(config: GPT2Config) -> bool:
    """Whether attention is another than that of the paper."""
    usual = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
    return not usual or config.reorder_and_upcast_attn or config.add_cross_attention
