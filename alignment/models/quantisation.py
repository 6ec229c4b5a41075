"""Weights as an INT8 server would see them, for as long as a block lasts.

Every output channel of a linear layer has one scale, its largest magnitude / 127. Gradients taken
inside the block are those at the rounded weights and arrive at the real ones: straight through.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

LEVELS = 127


@contextmanager
def int8_weights(model: PreTrainedModel) -> Iterator[None]:
    """Round the linear layers in place, and put the real weights back at the end."""
    layers = list(quantised_layers(model))
    kept = [weight.detach().clone() for weight, _ in layers]
    try:
        with torch.no_grad():
            for weight, inputs in layers:
                weight.copy_(rounded(weight, inputs))
        yield
    finally:
        with torch.no_grad():
            for (weight, _), real in zip(layers, kept, strict=True):
                weight.copy_(real)


def rounded(weight: Tensor, inputs: int) -> Tensor:
    """The weight rounded to INT8, one scale per output channel; `inputs` is the other dimension."""
    scale = weight.abs().amax(inputs, keepdim=True).clamp(min=1e-12) / LEVELS
    return (weight / scale).round() * scale


def quantised_layers(model: PreTrainedModel) -> Iterator[tuple[Tensor, int]]:
    """Weights of the linear layers with their input dimension; a head tied to embeddings is left out."""
    embedding = model.get_input_embeddings().weight
    for module in model.modules():
        if isinstance(module, (nn.Linear, Conv1D)) and module.weight is not embedding:
            yield module.weight, 1 if isinstance(module, nn.Linear) else 0
