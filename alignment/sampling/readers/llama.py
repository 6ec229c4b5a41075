"""The Llama family reading on: keys that heads share, turned positions, root mean square norms, gated layers.

x = x + O attention(turn Q norm x, turn K norm x, V norm x); x = x + D (act(G norm x) * U norm x), as Touvron et al.
(2023) have it. What its architectures differ in is told by their weights: biases (Qwen2), norms of queries and keys
(Qwen3), windows (Mistral), layers that turn nothing (SmolLM3), weights of norms beside 1 (Gemma). A model that is such
a one and nothing more, in fp32, is read so; positions whose scale depends on the length are read by transformers.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from alignment.models.policies import output_layer
from alignment.sampling.readers.maps import (
    Map,
    computes_as_known,
    layers_of,
    map_of,
    with_layers,
)
from alignment.sampling.readers.reader import hiding, windowed

# Their modules in transformers name their parts alike.
_NAMES = ("Gemma", "Llama", "Mistral", "Qwen2", "Qwen3", "SeedOss", "SmolLM3")
_PARTS = ("ForCausalLM", "Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")
_SCALED_TOKENS = "TextScaledWordEmbedding"  # Gemma's
_BY_LAYER = {"Qwen2", "Qwen3", "SmolLM3"}  # whose config says of each layer whether it has a window
_FULL, _SLIDING = "full_attention", "sliding_attention"
_STEADY = {
    "default",
    "linear",
    "llama3",
    "yarn",
}  # kinds of positions that are turned alike at all lengths


class RootNorm(NamedTuple):
    """A root mean square norm (Zhang and Sennrich, 2019)."""

    weight: Tensor
    eps: float
    beside: float = 0.0  # what the weight is added to

    def __call__(self, states: Tensor) -> Tensor:
        """The normalised states (..., width)."""
        weight = self.weight + self.beside if self.beside else self.weight
        if torch.is_grad_enabled() and states.requires_grad:
            learned: Any = _LearnedNorm  # whose apply has no types
            found: Tensor = learned.apply(states, weight, self.eps)
            return found
        return F.rms_norm(states, states.shape[-1:], weight, self.eps)


class _LearnedNorm(torch.autograd.Function):
    """A root mean square norm whose backward pass is five operations: half the time of autograd's twelve."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, eps: float) -> Tensor:  # noqa: ANN401
        """weight * x / root(mean x^2 + eps) of states (..., width)."""
        length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        shrink = length.square_().div_(states.shape[-1]).add_(eps).rsqrt_()
        normed = states * shrink
        ctx.save_for_backward(normed, weight, shrink)
        found: Tensor = normed * weight
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor | None, None]:  # noqa: ANN401
        """With n the normed states and g what comes back, times the weight: (g - n mean(g n)) / root."""
        normed, weight, shrink = ctx.saved_tensors
        to_weight = (given * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        inner = given * weight
        share = (inner * normed).mean(-1, keepdim=True)
        return inner.addcmul_(normed, share, value=-1).mul_(shrink), to_weight, None


class Rotation(NamedTuple):
    """Rotations of tokens by where they stand (Su et al., 2021), of the two halves of a head against each other."""

    cosines: Tensor  # (rows or 1, length, 1, depth)
    sines: Tensor  # the same, the first half with its sign turned

    def __call__(self, states: Tensor) -> Tensor:
        """The turned states (rows, length, heads, depth)."""
        swapped = states.roll(states.shape[-1] // 2, -1)
        return torch.addcmul(states * self.cosines, swapped, self.sines)


class Rotary(NamedTuple):
    """How fast each pair of a head's dimensions turns."""

    frequencies: Tensor  # (depth / 2,)
    scale: float

    def at(self, positions: Tensor) -> Rotation:
        """The rotations at positions (rows or 1, length)."""
        angles = positions[..., None, None].float() * self.frequencies
        cosines, sines = angles.cos() * self.scale, angles.sin() * self.scale
        return Rotation(torch.cat([cosines, cosines], -1), torch.cat([-sines, sines], -1))


class Attention(NamedTuple):
    """Heads that share keys and values in groups (Ainslie et al., 2023)."""

    query: Map
    key: Map
    value: Map
    out: Map
    norms: tuple[RootNorm, RootNorm] | None  # of queries and of keys
    depth: int  # of a head
    scale: float
    turns: bool
    window: int | None  # tokens that are looked at, the own one with them

    def project(self, states: Tensor, turn: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (rows, length, heads, depth), keys and values (rows, groups, length, depth)."""
        shape = (*states.shape[:-1], -1, self.depth)
        query, key, value = (one(states).view(shape) for one in (self.query, self.key, self.value))
        if self.norms is not None:
            query, key = self.norms[0](query), self.norms[1](key)
        if self.turns:
            query, key = turn(query), turn(key)
        return query, key.transpose(1, 2), value.transpose(1, 2)

    def read(
        self, states: Tensor, turn: Rotation, layer: DynamicLayer | None, hidden: Tensor | None
    ) -> Tensor:
        """What the states (rows, length, width) take from others."""
        query, key, value = self.project(states, turn)
        if layer is not None:
            key, value = layer.update(key, value)
        if self.window is not None and states.shape[1] == 1:
            key, value = key[:, :, -self.window :], value[:, :, -self.window :]
        return self.out(grouped_attention(query, key, value, hidden, self.scale))


class GatedBlock(NamedTuple):
    """A transformer block."""

    norm_1: RootNorm
    attention: Attention
    norm_2: RootNorm
    gate: Map
    activation: nn.Module
    widen: Map
    narrow: Map

    def read(
        self, states: Tensor, turn: Rotation, layer: DynamicLayer | None, hidden: Tensor | None
    ) -> Tensor:
        """States (rows, length, width) after this block, which keeps them in its layer of a cache."""
        states = self.attention.read(self.norm_1(states), turn, layer, hidden).add_(states)
        inner = self.norm_2(states)
        return self.narrow(self.activation(self.gate(inner)) * self.widen(inner)).add_(states)


class LlamaReader(NamedTuple):
    """The weights of a model of the family."""

    tokens: nn.Module
    rotary: Rotary
    blocks: tuple[GatedBlock, ...]
    norm: RootNorm
    head: Map

    @property
    def dtype(self) -> torch.dtype:
        """In which precision it computes."""
        return self.norm.weight.dtype

    @property
    def layers(self) -> list[Map]:
        """The linear layers of its blocks."""
        return layers_of(self.blocks)

    def with_layers(self, change: Callable[[Map], Map]) -> "LlamaReader":
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
        states, turn = self.tokens(ids), self.rotary.at(positions)
        windows = {block.attention.window for block in self.blocks}
        if hidden is None and ids.shape[1] > 1 and windows != {None}:
            hidden = hiding(torch.ones_like(ids[:1]), ids.shape[1], self.dtype)
        hides = {window: _hidden_behind(hidden, window) for window in windows}
        layers: Sequence[Any] = cache.layers if cache is not None else [None] * len(self.blocks)
        for block, layer in zip(self.blocks, layers, strict=True):
            states = block.read(states, turn, layer, hides[block.attention.window])
        return self.head(self.norm(states[:, -keep:]))


def grouped_attention(
    query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None, scale: float
) -> Tensor:
    """What queries (rows, length, heads, depth) take from keys and values (rows, groups, width, depth), heads joined.

    Where nothing is said of what is hidden, as many queries as keys look at themselves and at what is before them,
    and one alone everywhere.
    """
    mixed = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key,
        value,
        attn_mask=hidden,
        is_causal=hidden is None and query.shape[1] > 1,
        scale=scale,
        enable_gqa=True,
    )
    return mixed.transpose(1, 2).flatten(2)


def llama_reader(model: PreTrainedModel, *, adapted: bool) -> LlamaReader | None:
    """How to read the tokens of a Llama and its like fast; None where only the model itself knows what it computes."""
    windows = _windows_of(model) if _is_plain(model) else None
    if windows is None:
        return None
    body: Any = model.model
    return LlamaReader(
        body.embed_tokens,
        Rotary(body.rotary_emb.inv_freq, body.rotary_emb.attention_scaling),
        tuple(
            block_of(block, window, adapted=adapted)
            for block, window in zip(body.layers, windows, strict=True)
        ),
        root_norm_of(body.norm),
        map_of(output_layer(model), adapted=adapted),
    )


def block_of(block: Any, window: int | None, *, adapted: bool) -> GatedBlock:  # noqa: ANN401 - a layer without types
    """The weights of transformers' own."""
    inner = block.mlp
    gate, widen, narrow = (
        map_of(one, adapted=adapted) for one in (inner.gate_proj, inner.up_proj, inner.down_proj)
    )
    return GatedBlock(
        root_norm_of(block.input_layernorm),
        attention_of(block.self_attn, window, adapted=adapted),
        root_norm_of(block.post_attention_layernorm),
        gate,
        inner.act_fn,
        widen,
        narrow,
    )


def attention_of(module: Any, window: int | None, *, adapted: bool) -> Attention:  # noqa: ANN401 - as above
    """The weights of transformers' own."""
    query, key, value, out = (
        map_of(one, adapted=adapted)
        for one in (module.q_proj, module.k_proj, module.v_proj, module.o_proj)
    )
    normed = hasattr(module, "q_norm")
    return Attention(
        query,
        key,
        value,
        out,
        (root_norm_of(module.q_norm), root_norm_of(module.k_norm)) if normed else None,
        module.head_dim,
        module.scaling,
        bool(getattr(module, "use_rope", True)),
        window,
    )


def root_norm_of(module: Any) -> RootNorm:  # noqa: ANN401 - as above
    """A module's weights."""
    if hasattr(module, "eps"):
        return RootNorm(module.weight, module.eps, 1.0)  # Gemma's
    return RootNorm(module.weight, module.variance_epsilon)


def _is_plain(model: PreTrainedModel) -> bool:
    """Whether each part is the family's own, computes as usual, and nobody listens to it."""
    name = type(model).__name__.removesuffix(_PARTS[0])
    if name not in _NAMES or not type(model).__module__.startswith("transformers.models."):
        return False
    modeling = sys.modules[type(model).__module__]
    known: dict[str, Any] = {
        part: getattr(modeling, name + part, None) for part in (*_PARTS, _SCALED_TOKENS)
    }
    body: Any = model.model
    return _has_layers(body, known) and (
        computes_as_known(model, {*known.values()}, {block.mlp.act_fn for block in body.layers})
        and {weight.dtype for weight in model.parameters()} == {torch.float32}
        and body.rotary_emb.rope_type in _STEADY
        and 2 * len(body.rotary_emb.inv_freq) == body.layers[0].self_attn.head_dim
    )


def _has_layers(body: Any, known: Mapping[str, Any]) -> bool:  # noqa: ANN401 - as above
    """Whether each layer is made of the architecture's attention, which looks back alone, and its gated one."""
    return all(
        type(block.self_attn) is known["Attention"]
        and type(block.mlp) is known["MLP"]
        and block.self_attn.is_causal
        for block in body.layers
    )


def _windows_of(model: PreTrainedModel) -> list[int | None] | None:
    """How far each layer looks back; None where the config says so in another way than its architecture's."""
    name, count = type(model).__name__.removesuffix(_PARTS[0]), len(model.model.layers)
    window = getattr(model.config, "sliding_window", None)
    kinds = getattr(model.config, "layer_types", None)
    if (window is not None and window < 1) or (kinds is not None and len(kinds) != count):
        return None
    if kinds is None:
        return [window] * count if window is None or name == "Mistral" else None
    if set(kinds) == {_FULL}:
        return [None] * count if name != "Mistral" else None
    if name not in _BY_LAYER or window is None or not set(kinds) <= {_FULL, _SLIDING}:
        return None
    return [window if kind == _SLIDING else None for kind in kinds]


def _hidden_behind(hidden: Tensor | None, window: int | None) -> Tensor | None:
    """What is hidden from layers with such a window; one token alone is shown no more than that."""
    if hidden is None or window is None:
        return hidden
    return hidden[..., -window:] if hidden.shape[2] == 1 else windowed(hidden, window)
