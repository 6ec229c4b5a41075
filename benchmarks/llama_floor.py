"""The bare tensor operations of a Llama, for the floor of a step on one: whole weights, or thin ones beside frozen ones.

As `floor`, it imports nothing of the product.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ALPHA = 2.0  # of an adapter's product
MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Weights = tuple[Tensor, ...]  # W, and of an adapted layer A and B
Angles = tuple[Tensor, Tensor]


class Shape(NamedTuple):
    """What the weights of a Llama do not say."""

    layers: int
    heads: int
    groups: int  # heads of keys and values
    depth: int
    theta: float
    eps: float


class LlamaBlock(NamedTuple):
    """A transformer block's weights."""

    shape: Shape
    norm_1: Tensor
    norm_2: Tensor
    q: Weights
    k: Weights
    v: Weights
    o: Weights
    gate: Weights
    up: Weights
    down: Weights

    def project(self, x: Tensor, angles: Angles) -> tuple[Tensor, ...]:
        """Queries, keys and values (b, heads or groups, length, depth) of hidden states (b, length, width)."""
        inner = root_norm(x, self.norm_1, self.shape.eps)
        q, k, v = (
            linear(inner, weights).unflatten(-1, (-1, self.shape.depth))
            for weights in (self.q, self.k, self.v)
        )
        return tuple(part.transpose(1, 2) for part in (turned(q, angles), turned(k, angles), v))

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The block's output, given the attended values (b, heads, length, depth)."""
        x = x + linear(mixed.transpose(1, 2).flatten(2), self.o)
        inner = root_norm(x, self.norm_2, self.shape.eps)
        return x + linear(F.silu(linear(inner, self.gate)) * linear(inner, self.up), self.down)


class LlamaNetwork(NamedTuple):
    """A Llama whose head is its embedding, or not."""

    tokens: Tensor
    head: Tensor
    last_norm: Tensor
    blocks: tuple[LlamaBlock, ...]
    trained: tuple[Tensor, ...]
    shape: Shape

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], shape: Shape, rank: int = 0) -> "LlamaNetwork":
        """A copy of these weights of a LlamaForCausalLM to be trained, or themselves with an adapter to be trained."""
        trained: dict[int, Tensor] = {}
        own = {
            name: weight.detach() if rank else copied(weight, trained)
            for name, weight in weights.items()
        }

        def layer(number: int) -> LlamaBlock:
            named = {name.split(f"layers.{number}.")[-1]: weight for name, weight in own.items()}
            maps = [
                named[f"{'mlp' if place > 3 else 'self_attn'}.{name}.weight"]
                for place, name in enumerate(MAPS)
            ]
            both = [adapted(weight, rank, trained) if rank else (weight,) for weight in maps]
            norms = (f"{name}_layernorm.weight" for name in ("input", "post_attention"))
            return LlamaBlock(shape, *(named[name] for name in norms), *both)

        tokens = own["model.embed_tokens.weight"]
        head = own["lm_head.weight"]
        blocks = tuple(layer(number) for number in range(shape.layers))
        return cls(tokens, head, own["model.norm.weight"], blocks, tuple(trained.values()), shape)

    @property
    def kept(self) -> tuple[int, int]:
        """Heads and their width of what a cache holds."""
        return self.shape.groups, self.shape.depth

    def parameters(self) -> list[Tensor]:
        """Everything that is trained."""
        return list(self.trained)

    def enter(self, ids: Tensor, places: Tensor) -> tuple[Tensor, Angles]:
        """Hidden states (b, length, width) of tokens, and how far those at these places are turned."""
        depth = self.shape.depth
        speeds = self.shape.theta ** (-torch.arange(0, depth, 2) / depth)
        angles = (places[..., None] * speeds).repeat(*[1] * places.dim(), 2).unsqueeze(-2)
        return self.tokens[ids], (angles.cos(), angles.sin())

    def logits(self, x: Tensor) -> Tensor:
        """Logits (n, vocabulary) of last hidden states (n, width)."""
        return (root_norm(x, self.last_norm, self.shape.eps) @ self.head.T).float()


def copied(weight: Tensor, trained: dict[int, Tensor]) -> Tensor:
    """A copy to be trained; of a weight that stands twice, the same."""
    key = weight.data_ptr()
    if key not in trained:
        trained[key] = weight.detach().clone().requires_grad_()
    return trained[key]


def adapted(weight: Tensor, rank: int, trained: dict[int, Tensor]) -> Weights:
    """A frozen weight with thin ones to be trained, which add nothing yet."""
    out, inner = weight.shape
    down = (torch.randn(rank, inner) / math.sqrt(inner)).requires_grad_()
    up = torch.zeros(out, rank).requires_grad_()
    trained |= {down.data_ptr(): down, up.data_ptr(): up}
    return weight, down, up


def root_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """A root mean square norm."""
    return F.rms_norm(x, x.shape[-1:], weight, eps)


def linear(x: Tensor, weights: Weights) -> Tensor:
    """W x, and of an adapted layer ALPHA * B A x."""
    found = F.linear(x, weights[0])
    if len(weights) == 1:
        return found
    _, down, up = weights
    low = F.linear(x, down).flatten(0, 1)
    return torch.addmm(found.flatten(0, 1), low, up.T, alpha=ALPHA).view(found.shape)


def turned(x: Tensor, angles: Angles) -> Tensor:
    """Hidden states (b, length, heads, depth), with a head's halves turned against each other."""
    cosines, sines = angles
    first, second = x.chunk(2, -1)
    return x * cosines + torch.cat([-second, first], -1) * sines
