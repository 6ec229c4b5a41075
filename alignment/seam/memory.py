"""How much memory a run needs for a model, before anybody waits for it to fail.

Torch-free. In bytes, all in fp32, as runs compute. With P parameters, of which AdamW keeps two moments
beside weight and gradient, a kind of run sums up

    16 P for a policy that is trained (4 P, and 16 for each entry of an adapter, with LoRA)
     4 P for every model that only reads, and
    the activations of what learns, or the cache of what is sampled, whichever is larger.

One sequence of n tokens keeps, per layer of width h with a heads, about 64 n h + 4 a n^2 bytes of
activations (Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models",
2022, equation 1, at four bytes and without dropout masks), and three times its logits. The cache
holds keys and values. Estimates, within a factor of two; the program itself takes 0.5 GiB more.
"""

from typing import NamedTuple

FLOAT = 4  # bytes
ROUNDED = (4 + 8 / 64 + 32 / (64 * 256)) / 8  # bytes of a weight in NF4 with double quantisation
TRAINED = 4 * FLOAT  # of each parameter: weight, gradient, two moments
PROGRAM = 1 << 29  # the interpreter with its libraries
TOKENS = 2048  # of one training step's forward
KEPT = 1 << 29  # bytes at most that a step keeps of its sampling for its learning
KEPT_WIDTHS = 10  # numbers of a token and layer that it keeps, in widths: what linear layers give
SAMPLED_AT_ONCE = 32  # prompts
WEIGHED_AT_ONCE = 512  # completions of an evaluation
ADAPTED = 7  # matrices of a layer that have an adapter: attention's four, the gated MLP's three
LOGITS = 3  # of them: raw, normalised, gradient


class Shape(NamedTuple):
    """What decides how much memory a transformer needs."""

    parameters: int
    layers: int
    width: int
    heads: int
    key_width: int  # of all key heads together
    vocabulary: int
    context: int


def read(shape: Shape, models: int = 1, *, four_bits: bool = False) -> int:
    """Bytes of models that only read; with `four_bits` all but their embeddings are rounded to so many."""
    if not four_bits:
        return models * FLOAT * shape.parameters
    whole = min(shape.parameters, 2 * shape.vocabulary * shape.width)  # tokens in, and logits
    return int(models * (FLOAT * whole + ROUNDED * (shape.parameters - whole)))


def trained(shape: Shape, rank: int = 0, moments: float = 1.0, *, four_bits: bool = False) -> int:
    """Bytes of a model that is trained, whole or by an adapter of this rank beside its layers.

    `moments` is the share of a whole model's moments that an optimizer keeps; `four_bits` is as `read` has it.
    """
    if not rank:
        return int(TRAINED * shape.parameters * (1 + moments) / 2)
    entries = shape.layers * ADAPTED * 2 * rank * shape.width
    return read(shape, four_bits=four_bits) + TRAINED * entries


def _usual_length(shape: Shape) -> int:
    """Tokens of a prompt with its answer: what the settings are made for, or the context."""
    return min(shape.context, 256)


def activations(shape: Shape, sequences: int, length: int) -> int:
    """Bytes that a forward keeps for its backward, without logits."""
    tokens = sequences * length
    per_layer = 16 * FLOAT * tokens * shape.width + FLOAT * shape.heads * tokens * length
    return shape.layers * per_layer


def sampling(shape: Shape, rows: int) -> int:
    """Bytes of the cache of so many completions, and of their next token's probabilities."""
    cache = 2 * FLOAT * shape.layers * shape.key_width * _usual_length(shape) * rows
    return cache + 2 * (FLOAT + 8) * rows * shape.vocabulary  # the distribution function in fp64


def stepping(shape: Shape, rows: int) -> int:
    """Bytes of one alignment step: first it samples, then it learns in forwards of TOKENS tokens."""
    return max(sampling(shape, rows), learning(shape))


def kept(shape: Shape, tokens: int) -> int:
    """Bytes of what is kept of the sampling of so many tokens; where it were too much nothing is."""
    return min(KEPT, KEPT_WIDTHS * FLOAT * shape.layers * shape.width * tokens)


def learning(shape: Shape) -> int:
    """Bytes of one forward of TOKENS tokens that a backward follows, with its logits."""
    return part(shape) + LOGITS * FLOAT * TOKENS * shape.vocabulary


def part(shape: Shape) -> int:
    """The same without logits: whoever learns takes a step's rows in parts of so many tokens."""
    length = _usual_length(shape)
    return activations(shape, max(1, TOKENS // length), length)
