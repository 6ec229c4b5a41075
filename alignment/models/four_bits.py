"""Base models whose linear layers are held in 4 bits beside an adapter that learns: Dettmers et al., "QLoRA" (2023).

A weight is one of sixteen quantiles of a normal distribution (NF4), 64 weights share a scale, and scales are kept in
8 bits (double quantisation): 4.13 bits a weight. bitsandbytes computes with them. Embeddings, norms and the layer that
gives logits stay in fp32, and so does what learns. Nothing is stored so: a result is made of the whole weights.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.seam.errors import ConfigError
from alignment.seam.words import _

PACKED = 2  # weights in a byte


def four_bits() -> BitsAndBytesConfig:
    """How transformers is to round a model; raises ConfigError where nothing here computes with such weights."""
    if find_spec("bitsandbytes") is None:
        raise ConfigError(
            _(
                "Base weights in 4 bits need bitsandbytes, which is not installed here; install it on the worker, or "
                "keep the weights as they are."
            )
        )
    how: Any = BitsAndBytesConfig  # which has no types
    made: BitsAndBytesConfig = how(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
    )
    return made


def is_rounded(model: nn.Module) -> bool:
    """Whether a model is held so, with or without an adapter."""
    return bool(getattr(getattr(model, "base", model), "is_loaded_in_4bit", False))


def count_of(weight: Tensor) -> int:
    """How many weights a parameter stands for."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else torch.Size(state.shape).numel()


def transposes(model: nn.Module) -> bool:
    """Whether the model's own linear layers keep weights as (inner, outer), also where they are rounded."""
    return any(
        isinstance(module, Conv1D) or getattr(module, "source_cls", None) is Conv1D
        for module in model.modules()
    )


def shrink(outline: PreTrainedModel) -> None:
    """Let the linear layers of a model without weights be as large as they will be in 4 bits."""
    head = outline.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers has no types for it
    for module in outline.modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not head:
            size = -(-module.weight.numel() // PACKED)
            packed = torch.empty(size, dtype=torch.uint8, device="meta")
            module.weight = nn.Parameter(packed, requires_grad=False)
