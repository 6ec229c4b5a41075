"""GPT-2 reading on: its own equations, without what transformers does around them.

A step is many small operations, and on small models transformers spends as much time on finding out
which ones as on computing them. So completions are read here, by the model's own weights. Only a model
that is GPT-2 and nothing more (no adapter, no hook, no other precision) is read so.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

from alignment.models.forms.factors import FactorLinear
from alignment.models.forms.form import StoredLayer
from alignment.models.forms.int8 import Int8Embedding, Int8Linear
from alignment.models.policies import output_layer

PARTS = {GPT2LMHeadModel, GPT2Model, GPT2Block, GPT2Attention, GPT2MLP, Conv1D}
PARTS |= {nn.ModuleList, nn.Embedding, nn.Linear, nn.LayerNorm, nn.Dropout}
PARTS |= {Int8Linear, Int8Embedding, FactorLinear}  # which compute by themselves


class Norm(NamedTuple):
    """A layer norm."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, states: Tensor) -> Tensor:
        """The normalised states (..., width)."""
        return F.layer_norm(states, states.shape[-1:], *self)


class Affine(NamedTuple):
    """x W + b."""

    weight: Tensor  # (inner, outer)
    bias: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """(..., outer) of states (..., inner)."""
        found = torch.addmm(self.bias, states.view(-1, states.shape[-1]), self.weight)
        return found.view(*states.shape[:-1], -1)


Map = Affine | StoredLayer


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


class Reader(NamedTuple):
    """The weights of a GPT-2."""

    tokens: nn.Module
    places: nn.Module
    blocks: tuple[Block, ...]
    norm: Norm
    head: nn.Module
    heads: int

    @property
    def dtype(self) -> torch.dtype:
        """In which precision it computes."""
        return self.norm.weight.dtype

    def read(
        self,
        ids: Tensor,
        positions: Tensor,
        hidden: Tensor | None = None,
        cache: DynamicCache | None = None,
        *,
        keep: int,
    ) -> Tensor:
        """Logits (rows, keep, vocab) behind the last tokens of each row.

        Args:
            ids: (rows, length) tokens.
            positions: (rows or 1, length) where they stand in their row, from 0.
            hidden: (rows, 1, length, cached + length) what attention adds to its scores: minus infinity
                where a token does not look; None where one that follows a cache looks everywhere.
            cache: what was read before, which these tokens are written to; without one, rows begin here.
            keep: of how many tokens of a row, the last ones, logits are wanted.
        """
        states = self.tokens(ids) + self.places(positions)
        layers: Sequence[Any] = cache.layers if cache is not None else [None] * len(self.blocks)
        for block, layer in zip(self.blocks, layers, strict=True):
            states = block.read(states, self.heads, layer, hidden)
        logits: Tensor = self.head(self.norm(states[:, -keep:]))
        return logits


def reader_of(model: PreTrainedModel) -> Reader | None:
    """How to read a GPT-2's tokens fast; None where only the model itself knows what it computes."""
    if not _is_plain(model):
        return None
    body: Any = model.transformer
    return Reader(
        body.wte,
        body.wpe,
        tuple(Block.of(block) for block in body.h),
        norm_of(body.ln_f),
        output_layer(model),
        model.config.n_head,
    )


def hiding(seen: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """What attention adds to its scores (rows, 1, length, width): minus infinity where not to look.

    The last tokens, so many, look at themselves and at what is before them, but not where `seen`
    (rows, width) is 0.
    """
    width = seen.shape[1]
    upto = torch.ones(length, width, dtype=torch.bool, device=seen.device).tril(width - length)
    itself = upto.triu(width - length)  # so that padding looks somewhere, else it would be nan
    looks = upto & seen[:, None, None].bool() | itself
    zeros = torch.zeros(looks.shape, dtype=dtype, device=seen.device)
    return zeros.masked_fill_(~looks, -torch.inf)


def norm_of(module: nn.LayerNorm) -> Norm:
    """A module's weights."""
    return Norm(module.weight, module.bias, module.eps)


def affine_of(module: Conv1D | StoredLayer) -> Map:
    """A module's weights; one in a form computes by itself."""
    return module if isinstance(module, StoredLayer) else Affine(module.weight, module.bias)


def _is_plain(model: PreTrainedModel) -> bool:
    """Whether each part is GPT-2's own, computes as usual, and nobody listens to it."""
    if type(model) is not GPT2LMHeadModel or model.training or _is_variant(model.config):
        return False
    body: Any = model.transformer
    activations = {block.mlp.act for block in body.h}
    return all(
        (type(part) in PARTS or part in activations) and not _is_changed(part)
        for part in model.modules()
    )


def _is_variant(config: GPT2Config) -> bool:
    """Whether attention is another than that of the paper."""
    usual = config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx
    return not usual or config.reorder_and_upcast_attn or config.add_cross_attention


def _is_changed(module: nn.Module) -> bool:
    return bool("forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks)
