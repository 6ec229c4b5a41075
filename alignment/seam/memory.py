"""How much memory each kind of run needs for a model, before anybody waits for it to fail.

Torch-free. In bytes, for the default settings of the runs, all in fp32, as they compute. With P
parameters, of which AdamW keeps two moments beside weight and gradient:

    generate   4 P + cache
    sft        16 P + activations
    prefer     16 P + 4 P (reference) + activations
    reward     16 P + activations
    align      16 P (policy) + 4 P (reference) + 4 P (reward model) + activations + cache
    evaluate   4 P each of policy, reference, reward model and judge + cache

One sequence of n tokens keeps, per layer of width h with a heads, about 64 n h + 4 a n^2 bytes of
activations (Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models",
2022, equation 1, at four bytes and without dropout masks), and three times its logits. The cache
holds keys and values. Estimates, within a factor of two; the program itself takes 0.5 GiB more.
"""

from collections.abc import Mapping
from typing import NamedTuple

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig

FLOAT = 4  # bytes
TRAINED = 4 * FLOAT  # of each parameter: weight, gradient, two moments
TOKENS = 2048  # of one training step's forward
SAMPLED_AT_ONCE = 32  # prompts
WEIGHED_AT_ONCE = 512  # completions of an evaluation
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


def needed(shape: Shape) -> Mapping[str, int]:
    """Bytes by kind of run."""
    weights = FLOAT * shape.parameters
    align, asked, judged = AlignConfig(), GenerateConfig(), EvaluateConfig()
    compared = SAMPLED_AT_ONCE * judged.completions_per_prompt
    drawn = align.prompts_per_step * align.completions_per_prompt
    return {
        "generate": weights + sampling(shape, SAMPLED_AT_ONCE * asked.completions_per_prompt),
        "sft": TRAINED * shape.parameters + learning(shape),
        "prefer": TRAINED * shape.parameters + weights + learning(shape),
        "reward": TRAINED * shape.parameters + part(shape),
        "align": TRAINED * shape.parameters + 2 * weights + stepping(shape, drawn),
        "evaluate": 4 * weights + sampling(shape, max(compared, WEIGHED_AT_ONCE)),
    }


def usual_length(shape: Shape) -> int:
    """Tokens of a prompt with its answer: what the settings are made for, or the context."""
    return min(shape.context, 256)


def activations(shape: Shape, sequences: int, length: int) -> int:
    """Bytes that a forward keeps for its backward, without logits."""
    tokens = sequences * length
    per_layer = 16 * FLOAT * tokens * shape.width + FLOAT * shape.heads * tokens * length
    return shape.layers * per_layer


def sampling(shape: Shape, rows: int) -> int:
    """Bytes of the cache of so many completions, and of their next token's probabilities."""
    cache = 2 * FLOAT * shape.layers * shape.key_width * usual_length(shape) * rows
    return cache + 2 * (FLOAT + 8) * rows * shape.vocabulary  # the distribution function in fp64


def stepping(shape: Shape, rows: int) -> int:
    """Bytes of one alignment step: first it samples, then it learns in forwards of TOKENS tokens."""
    return max(sampling(shape, rows), learning(shape))


def learning(shape: Shape) -> int:
    """Bytes of one forward of TOKENS tokens that a backward follows, with its logits."""
    return part(shape) + LOGITS * FLOAT * TOKENS * shape.vocabulary


def part(shape: Shape) -> int:
    """The same without logits: whoever learns takes a step's rows in parts of so many tokens."""
    length = usual_length(shape)
    return activations(shape, max(1, TOKENS // length), length)
