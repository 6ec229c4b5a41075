"""Weights as an INT8 server would see them, for as long as a block lasts.

Every output channel of a linear layer has one scale, as `maths/int8` gives it. Gradients taken
inside the block are those at the rounded weights and arrive at the real ones: straight through.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.maths.int8 import rounded
from alignment.models.devices import is_fetched
from alignment.seam.errors import ConfigError
from alignment.seam.words import _


@contextmanager
def int8_weights(model: PreTrainedModel) -> Iterator[None]:
    """Round the linear layers in place, and put the real weights back at the end."""
    if is_fetched(model):
        raise ConfigError(
            _(
                "Weights that do not fit the devices cannot be rounded there; choose a worker with more memory."
            )
        )
    layers = list(quantised_layers(model))
    kept = [weight.detach().clone() for weight, _inputs in layers]
    try:
        with torch.no_grad():
            for weight, inputs in layers:
                weight.copy_(rounded(weight) if inputs == 1 else rounded(weight.T).T)
        yield
    finally:
        with torch.no_grad():
            for (weight, _inputs), real in zip(layers, kept, strict=True):
                weight.copy_(real)


def quantised_layers(model: PreTrainedModel) -> Iterator[tuple[Tensor, int]]:
    """Weights of the linear layers with their input dimension; a head tied to embeddings is left out."""
    embedding = model.get_input_embeddings().weight
    for module in model.modules():
        if isinstance(module, (nn.Linear, Conv1D)) and module.weight is not embedding:
            yield module.weight, 1 if isinstance(module, nn.Linear) else 0
