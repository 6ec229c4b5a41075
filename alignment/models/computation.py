"""How a model computes: in which precision, what it keeps for the backward pass, compiled or not.

Each choice wraps the model's forward once, so that whoever asks it, asks it so. Weights, and with them
checkpoints and results, stay in fp32.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.computation import ComputationSettings
from alignment.models.devices import device_of
from alignment.models.forms.form import make_plain, stored_layers
from alignment.models.four_bits import is_rounded
from alignment.models.lora import WithoutAdapter
from alignment.models.policies import Policy, output_layer
from alignment.sampling.prefix import read_whole
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

Forward = Callable[..., Any]
REPLACED = "forward_replaced"


def set_up(policy: Policy, config: ComputationSettings, *, backward: bool) -> Policy:
    """The policy, computing as the settings say; raises ConfigError where it cannot.

    A model is set up once. A reference that shares a policy's model is set up with that.
    """
    model = policy.model
    if isinstance(model, WithoutAdapter) or is_replaced(model):
        return policy
    make_plain(model)  # what is trained, and what it is held against
    if backward and config.gradient_checkpointing:
        recompute(model)
    if config.precision == "bf16":
        in_bf16(model)
    if isinstance(config, AlignConfig) and config.compile:
        compiled(model)
    return policy


def in_bf16(model: PreTrainedModel) -> None:
    """Multiply in bf16, but for the layer that gives the logits, where there is one: those are fp32, or better."""
    device = device_of(model).type
    if model.get_output_embeddings() is not None:  # type: ignore[no-untyped-call]  # transformers has no types for it
        make_precise(output_layer(model), device)
    replace_forward(model, torch.autocast(device, dtype=torch.bfloat16)(model.forward))


def make_precise(head: torch.nn.Module, device: str) -> None:
    """Let a layer multiply in fp32, or better, in a model that does not."""
    plain: Forward = head.forward

    def precise(states: Tensor) -> Tensor:
        with torch.autocast(device, enabled=False):
            found: Tensor = plain(states.to(torch.promote_types(states.dtype, torch.float32)))
            return found

    replace_forward(head, precise)


def computes_in_bf16(model: torch.nn.Module) -> bool:
    """Whether `in_bf16` has changed a model."""
    inner = model.base if isinstance(model, WithoutAdapter) else model
    return isinstance(inner, PreTrainedModel) and is_replaced(output_layer(inner))


def is_coarse(model: torch.nn.Module) -> bool:
    """Whether a model rounds what it reads, so that equal answers have equal log-probabilities only about."""
    return computes_in_bf16(model) or is_rounded(model) or any(stored_layers(model))


def recompute(model: PreTrainedModel) -> None:
    """Keep only each block's input for the backward, which computes the rest again.

    transformers does so in training mode alone, which would also mean dropout and no key-value cache;
    so only the blocks are in it, only in a forward that a backward may follow, and without dropout.
    """
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise ConfigError(
            _("This model cannot recompute its activations; turn gradient checkpointing off.")
        ) from error
    plain: Forward = model.forward
    blocks = [block for block in model.modules() if isinstance(block, GradientCheckpointingLayer)]
    for block in blocks:
        without_dropout(block)

    def forward(*inputs: Any, **arguments: Any) -> Any:  # noqa: ANN401 - as the model's own
        wanted = torch.is_grad_enabled() and not arguments.get("use_cache")
        for block in blocks:
            block.training = wanted
        try:
            return plain(*inputs, **arguments)
        finally:
            for block in blocks:
                block.training = False

    replace_forward(model, forward)
    read_whole(model)


def without_dropout(block: torch.nn.Module) -> None:
    """Let a block drop nothing in training mode, where it asks the function and not a module of its own.

    Blocks keep the rate under a name that says so, beside those of its modules, which stay in evaluation mode.
    """
    for name, value in vars(block).items():
        if "drop" in name and isinstance(value, float):
            setattr(block, name, 0.0)


def compiled(model: PreTrainedModel, backend: str | Forward = "inductor") -> None:
    """Compile forwards over whole sequences; decoding, whose shapes change every token, stays as it is."""
    plain: Forward = model.forward
    fast: Forward = torch.compile(plain, dynamic=True, backend=backend)

    def forward(*inputs: Any, **arguments: Any) -> Any:  # noqa: ANN401 - as the model's own
        return (plain if arguments.get("use_cache") else fast)(*inputs, **arguments)

    replace_forward(model, forward)
    read_whole(model)


def replace_forward(module: torch.nn.Module, forward: Forward) -> None:
    """Let this module alone, not its class, compute by another function."""
    vars(module)["forward"], vars(module)[REPLACED] = forward, True


def is_replaced(module: torch.nn.Module) -> bool:
    """Whether that was done; hooks of layers that are spread are another thing."""
    return REPLACED in vars(module)


def check_device(config: AlignConfig, device: torch.device) -> None:
    """Raise ConfigError where the settings need a GPU and there is none."""
    if config.compile and device.type != "cuda":
        raise ConfigError(
            _(
                "Compiling pays on a GPU alone, and this machine has none that torch can use; turn "
                "it off."
            )
        )
