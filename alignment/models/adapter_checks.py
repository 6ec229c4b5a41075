"""An adapter's settings, tried in a fork with limits on a model without weights.

They hold regular expressions that are matched with the name of every module, and sizes of matrices.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from alignment.foreign.forks import Tell, judged
from alignment.models.checks import blaming
from alignment.models.unfilled import Unfilled
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import header_of
from alignment.seam.words import _

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST = 2  # times as many weights as the file holds; ties may double them


def check_adapter_apart(base: PreTrainedModel, settings: Mapping[str, Any], folder: Path) -> None:
    """Raise DataError where these settings of LoRA ask for too much, or for more than the file holds."""
    judged(lambda tell: _check(base, settings, folder, tell))


def _check(base: PreTrainedModel, settings: Mapping[str, Any], folder: Path, tell: Tell) -> None:
    tell(WEIGHTS)
    elements = sum(math.prod(shape) for _, _, shape in header_of(folder / WEIGHTS))
    tell(SETTINGS)
    with blaming(f"{SETTINGS} cannot be understood"), Unfilled(), torch.device("meta"):
        bare = AutoModelForCausalLM.from_config(base.config)  # type: ignore[no-untyped-call]  # transformers has no types for it
        model = get_peft_model(bare, LoraConfig(**settings))
    described = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    if described > MOST * elements:
        raise DataError(
            _("{settings} describes {described:,} weights; {weights} holds {elements:,}.").format(
                settings=SETTINGS, described=described, weights=WEIGHTS, elements=elements
            )
        )
