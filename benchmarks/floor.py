"""The floor of one alignment step: bare tensor operations on a model's weights, one after another.

One cached generation, one reference forward, one policy forward and backward, one update by Adam, of
completions whose lengths are given. The operations are a GPT-2's here; `llama_floor` has a Llama's. It imports nothing
of the product, and the product nothing of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LEARNED_AT_ONCE = 384  # tokens: about what a CPU's cache holds the activations of


class Block(NamedTuple):
    """A transformer block's weights and biases, in the order of GPT-2's state dict."""

    norm_1: tuple[Tensor, Tensor]
    attention: tuple[Tensor, Tensor]
    attended: tuple[Tensor, Tensor]
    norm_2: tuple[Tensor, Tensor]
    inner: tuple[Tensor, Tensor]
    outer: tuple[Tensor, Tensor]

    def project(self, x: Tensor, heads: int) -> tuple[Tensor, ...]:
        """Queries, keys and values (b, heads, length, depth) of hidden states (b, length, width)."""
        b, length, width = x.shape
        projected = linear(norm(x, self.norm_1), self.attention)
        return projected.view(b, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4).unbind(0)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The block's output, given the attended values (b, heads, length, depth)."""
        x = x + linear(mixed.transpose(1, 2).reshape(x.shape), self.attended)
        inner = F.gelu(linear(norm(x, self.norm_2), self.inner), approximate="tanh")
        return x + linear(inner, self.outer)


class Network(NamedTuple):
    """A GPT-2."""

    tokens: Tensor
    places: Tensor
    blocks: tuple[Block, ...]
    last_norm: tuple[Tensor, Tensor]
    heads: int

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], layers: int, heads: int) -> "Network":
        """A copy of these weights of a GPT2LMHeadModel, to be trained."""
        copies = {
            name: weight.detach().clone().requires_grad_() for name, weight in weights.items()
        }
        names = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return copies[f"transformer.{name}.weight"], copies[f"transformer.{name}.bias"]

        blocks = [Block(*(pair(f"h.{layer}.{name}") for name in names)) for layer in range(layers)]
        embeddings = (copies[f"transformer.{name}.weight"] for name in ("wte", "wpe"))
        return cls(*embeddings, tuple(blocks), pair("ln_f"), heads)

    def parameters(self) -> list[Tensor]:
        """Everything that is trained."""
        blocks = [weight for block in self.blocks for pair in block for weight in pair]
        return [self.tokens, self.places, *blocks, *self.last_norm]

    @property
    def kept(self) -> tuple[int, int]:
        """Heads and their width of what a cache holds."""
        return self.heads, self.tokens.shape[1] // self.heads

    def enter(self, ids: Tensor, places: Tensor) -> tuple[Tensor, int]:
        """Hidden states (b, length, width) of tokens at these places, and how many heads read them."""
        return self.tokens[ids] + self.places[places], self.heads

    def logits(self, x: Tensor) -> Tensor:
        """Logits (n, vocabulary) of last hidden states (n, width)."""
        return (norm(x, self.last_norm) @ self.tokens.T).float()


class Drawn(NamedTuple):
    """Completions, right-padded."""

    tokens: Tensor  # (n, longest)
    logps: Tensor  # (n, longest), 0 where padded


def norm(x: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """A layer norm."""
    return F.layer_norm(x, x.shape[-1:], *weights)


def linear(x: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """x W + b; GPT-2 stores W so."""
    weight, bias = weights
    return torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], -1)


@torch.no_grad()
def generate(  # noqa: PLR0915 - one straight line, to be read from top to bottom
    policy: Any, prompts: Sequence[Sequence[int]], copies: int, lengths: Tensor
) -> Drawn:
    """`copies` completions of each prompt, of these lengths (n,).

    Prompts are read once, left-padded. Completions are written in the order of falling length, so
    that those not yet done are the first rows of the cache.
    """
    order = lengths.argsort(descending=True, stable=True)
    source = order // copies
    width, room, rows = max(map(len, prompts)), int(lengths.max()), len(lengths)
    pads = torch.tensor([width - len(prompt) for prompt in prompts])[:, None]
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    columns = torch.arange(width + room)
    ragged, seen = bool(pads.any()), columns >= pads
    causal = (columns[:width] <= columns[:width, None]) & seen[:, None, None, :width]
    causal |= torch.eye(width, dtype=torch.bool)  # a padding sees itself, else it would be nan
    heads, depth = policy.kept
    autocast = torch.is_autocast_enabled(policy.tokens.device.type)
    dtype = torch.get_autocast_dtype(policy.tokens.device.type) if autocast else None
    cache = torch.empty(len(policy.blocks), 2, rows, heads, width + room, depth, dtype=dtype)
    x, how = policy.enter(ids, (columns[:width] - pads).clamp(min=0))
    for block, (keys, values) in zip(policy.blocks, cache, strict=True):
        q, k, v = block.project(x, how)
        keys[:, :, :width], values[:, :, :width] = k[source], v[source]
        x = block.finish(x, attend(q, k, v, causal if ragged else None, causal=not ragged))
    x, seen, pads = x[source, -1:], seen[source, None, None], pads[source]
    tokens, logps = torch.zeros(rows, room, dtype=torch.long), torch.zeros(rows, room)
    uniforms = torch.rand(rows, room, 1)
    active = (lengths[:, None] > torch.arange(room)).sum(0).tolist()
    for step in range(room):
        logits = policy.logits(x[:, 0])
        total = logits.logsumexp(-1, keepdim=True)
        masses = (logits - total).exp_().cumsum(-1)
        wanted = uniforms[: len(x), step] * masses[:, -1:]
        token = torch.searchsorted(masses, wanted, right=True).clamp_(max=logits.shape[-1] - 1)
        tokens[: len(x), step : step + 1] = token
        logps[: len(x), step : step + 1] = logits.gather(1, token) - total
        if step + 1 == room:
            break
        left, end = active[step + 1], width + step + 1
        x, how = policy.enter(token[:left], end - 1 - pads[:left])
        mask = seen[:left, :, :, :end] if ragged else None
        for block, (keys, values) in zip(policy.blocks, cache[:, :, :left, :, :end], strict=True):
            q, keys[:, :, -1:], values[:, :, -1:] = block.project(x, how)
            x = block.finish(x, attend(q, keys, values, mask))
    back = order.argsort()
    return Drawn(tokens[back], logps[back])


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    """softmax(q k / sqrt(depth)) v, of heads that share keys in groups or not."""
    shared = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=shared
    )


class Batch(NamedTuple):
    """Rows to be read in one forward, right-padded."""

    rows: Tensor  # (b,)
    ids: Tensor  # (b, width)
    predicting: Tensor  # (b, width) bool: the next token is a completion's
    targets: Tensor  # (tokens,) what is predicted there
    owners: Tensor  # (tokens,) which of the batch's rows it belongs to


def batches(
    prompts: Sequence[Sequence[int]], copies: int, tokens: Tensor, lengths: Tensor
) -> Iterator[Batch]:
    """All rows, sorted by length, so many tokens at once."""
    sizes, completions = lengths.tolist(), tokens.tolist()
    lines = [[*prompts[row // copies], *completions[row][:n]] for row, n in enumerate(sizes)]
    order = sorted(range(len(lines)), key=lambda row: len(lines[row]))
    while order:
        width = len(lines[order[-1]])
        size = max(1, LEARNED_AT_ONCE // width)
        rows, order = order[-size:], order[:-size]
        ids = torch.tensor([lines[row] + [0] * (width - len(lines[row])) for row in rows])
        ends = torch.tensor([len(lines[row]) for row in rows])[:, None] - 1
        picked, places = torch.tensor(rows), torch.arange(width - 1)
        predicting = (places < ends) & (places >= ends - lengths[picked, None])
        owners = predicting.nonzero()[:, 0]
        yield Batch(picked, ids[:, :-1], predicting, ids[:, 1:][predicting], owners)


def completion_logps(network: Any, batch: Batch) -> Tensor:
    """(b,) log-probabilities of a batch's completions."""
    x, how = network.enter(batch.ids, torch.arange(batch.ids.shape[1]))
    for block in network.blocks:
        x = block.finish(x, attend(*block.project(x, how), None, causal=True))
    logits = network.logits(x[batch.predicting])
    chosen = logits.gather(1, batch.targets[:, None])[:, 0] - logits.logsumexp(-1)
    return torch.zeros(len(batch.rows)).index_add(0, batch.owners, chosen)


class Floor:
    """A policy and its reference, and what moves the one from the other."""

    def __init__(self, policy: Any, reference: Any, rate: float) -> None:
        self.policy, self.reference = policy, reference
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), lr=rate, weight_decay=0.0, fused=True
        )

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], layers: int, heads: int, rate: float) -> "Floor":
        """Of a GPT2LMHeadModel's weights."""
        policy, reference = (Network.of(weights, layers, heads) for _ in range(2))
        return cls(policy, reference, rate)

    def step(
        self,
        prompts: Sequence[Sequence[int]],
        lengths: Tensor,
        reward: Callable[[list[list[int]]], list[float]],
        beta: float,
    ) -> None:
        """Draw completions of these lengths (n,), a prompt's in a row, and move the policy by RLOO."""
        copies = len(lengths) // len(prompts)
        drawn = generate(self.policy, prompts, copies, lengths)
        rows = zip(drawn.tokens.tolist(), lengths.tolist(), strict=True)
        rewards = torch.tensor(reward([ids[:length] for ids, length in rows]))
        read = list(batches(prompts, copies, drawn.tokens, lengths))
        with torch.no_grad():
            reference = torch.cat([completion_logps(self.reference, batch) for batch in read])
        back = torch.cat([batch.rows for batch in read]).argsort()
        returns = rewards - beta * (drawn.logps.sum(1) - reference[back])
        grouped = returns.view(-1, copies)
        baseline = (grouped.sum(1, keepdim=True) - grouped) / (copies - 1)
        weights = (grouped - baseline).flatten()
        self.optimizer.zero_grad()
        for batch in read:
            loss = -(weights[batch.rows] * completion_logps(self.policy, batch)).sum()
            (loss / len(lengths)).backward()
        self.optimizer.step()
