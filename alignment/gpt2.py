"""GPT-2 reading one more token per row: its own equations, without what transformers does around them.

Decoding is many small operations, and on small models transformers spends more time on finding out
which ones than on computing them. So one token per row is read here, by the model's own weights. Only
a model that is GPT-2 and nothing more (no adapter, no hook, no other precision) is read so.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

from alignment.caching import RoomyLayer
from alignment.policies import output_layer


class Norm(NamedTuple):
    """A layer norm."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, states: Tensor) -> Tensor:
        """The normalised states (rows, width)."""
        return F.layer_norm(states, states.shape[-1:], *self)


class Affine(NamedTuple):
    """x W + b."""

    weight: Tensor  # (inner, outer)
    bias: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """(rows, outer) of states (rows, inner)."""
        return torch.addmm(self.bias, states, self.weight)


class Block(NamedTuple):
    """A transformer block."""

    norm_1: Norm
    project: Affine  # to queries, keys and values
    mix: Affine
    norm_2: Norm
    widen: Affine
    activation: nn.Module
    narrow: Affine

    @classmethod
    def of(cls, block: Any) -> "Block":  # noqa: ANN401 - a GPT2Block, whose parts have no types
        """The weights of transformers' own."""
        attention, inner = block.attn, block.mlp
        return cls(
            norm_of(block.ln_1),
            affine_of(attention.c_attn),
            affine_of(attention.c_proj),
            norm_of(block.ln_2),
            affine_of(inner.c_fc),
            inner.act,
            affine_of(inner.c_proj),
        )

    def read(self, states: Tensor, heads: int, layer: RoomyLayer, hidden: Tensor | None) -> Tensor:
        """States (rows, width) after this block, which remembers them in its layer of the cache."""
        rows, width = states.shape
        projected = self.project(self.norm_1(states)).view(rows, 3, heads, 1, width // heads)
        query, key, value = projected.unbind(1)
        keys, values = layer.update(key, value)
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=hidden)
        states = self.mix(mixed.reshape(rows, width)).add_(states)
        return self.narrow(self.activation(self.widen(self.norm_2(states)))).add_(states)


class Reader(NamedTuple):
    """The weights of a GPT-2."""

    tokens: Tensor
    places: Tensor
    blocks: tuple[Block, ...]
    norm: Norm
    head: Tensor
    heads: int

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        hidden: Tensor | None,
        layers: Sequence[Any],
    ) -> Tensor:
        """Logits (rows, vocab) behind one more token of each row.

        Args:
            ids: (rows,) tokens.
            positions: (rows,) where they stand in their row, from 0.
            hidden: (rows, 1, 1, length) what attention adds to the scores of the cache's tokens, these
                included: minus infinity for padding; None where there is none.
            layers: the cache's, RoomyLayers, which these tokens are written to.
        """
        states = F.embedding(ids, self.tokens) + F.embedding(positions, self.places)
        for block, layer in zip(self.blocks, layers, strict=True):
            states = block.read(states, self.heads, layer, hidden)
        return F.linear(self.norm(states), self.head)


def reader_of(model: PreTrainedModel) -> Reader | None:
    """How to read a GPT-2's tokens fast; None where only the model itself knows what it computes."""
    if not _is_plain(model):
        return None
    body: Any = model.transformer
    return Reader(
        body.wte.weight,
        body.wpe.weight,
        tuple(Block.of(block) for block in body.h),
        norm_of(body.ln_f),
        output_layer(model).weight,
        model.config.n_head,
    )


def norm_of(module: nn.LayerNorm) -> Norm:
    """A module's weights."""
    return Norm(module.weight, module.bias, module.eps)


def affine_of(module: Conv1D) -> Affine:
    """A module's weights."""
    return Affine(module.weight, module.bias)


PARTS = {GPT2LMHeadModel, GPT2Model, GPT2Block, GPT2Attention, GPT2MLP, Conv1D}
PARTS |= {nn.ModuleList, nn.Embedding, nn.Linear, nn.LayerNorm, nn.Dropout}


def _is_plain(model: PreTrainedModel) -> bool:
    """Whether each part is GPT-2's own, computes as usual, and nobody listens to it."""
    config = model.config
    if type(model) is not GPT2LMHeadModel or model.training:
        return False
    if config.reorder_and_upcast_attn or config.scale_attn_by_inverse_layer_idx:
        return False
    body: Any = model.transformer
    activations = {block.mlp.act for block in body.h}
    parts = [part for part in model.modules() if part not in activations]
    return (
        config.scale_attn_weights
        and not config.add_cross_attention
        and all(type(part) in PARTS for part in parts)
        and not any(_is_changed(part) for part in model.modules())
    )


def _is_changed(module: nn.Module) -> bool:
    return bool("forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks)
