"""LoRA: a product of two thin matrices is trained beside each frozen linear layer (Hu et al., 2022).

The layer adds scale * B A x; B starts at zero, so the policy starts as it was. Without its adapter the
model still is the reference, which therefore needs no memory of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.models.encoder_decoders import reads_apart
from alignment.models.forms.form import make_plain, weights_in
from alignment.models.loading import refusing
from alignment.models.policies import Policy

SCALE = 2  # of the product, whatever the rank
NO_ADAPTER = "No adapter fits this kind of model, so it can only be trained whole, with a rank of 0"


def adapted(policy: Policy, rank: int, seed: int) -> tuple[Policy, PeftModel]:
    """The policy with an adapter in its model, all else frozen; and the handle that can merge it.

    Raises DataError for an architecture that no adapter fits.
    """
    inner = policy.model.base if isinstance(policy.model, WithoutAdapter) else policy.model
    make_plain(inner)
    config = LoraConfig(
        r=rank,
        lora_alpha=SCALE * rank,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in inner.modules()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with refusing(NO_ADAPTER):
            handle = cast(PeftModel, get_peft_model(inner, config))
    inside: Any = handle.get_base_model()
    with refusing(NO_ADAPTER), torch.no_grad():  # some layers give more than a linear one does
        token = torch.zeros((1, 1), dtype=torch.long, device=policy.device)
        more = {"decoder_input_ids": token} if reads_apart(inside) else {}
        inside(input_ids=token, use_cache=False, **more)
    return replace(policy, model=inside.eval()), handle


def merged(policy: Policy, handle: PeftModel) -> Policy:
    """A plain policy with the adapter's products in its weights; the model is changed in place."""
    model: Any = handle.merge_and_unload()
    return replace(policy, model=model.eval())


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that a run changes: all of them, or those of the adapter."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def size_of(model: PreTrainedModel) -> int:
    """How many weights a policy has once its adapter, if it has one, is merged into the others."""
    own = sum(weight.numel() for name, weight in model.named_parameters() if "lora_" not in name)
    return own + weights_in(model)


def load_trained(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give these parameters their values."""
    model.load_state_dict(dict(weights), strict=False)


def forget(model: nn.Module) -> None:
    """Make the adapter add nothing, as it did at the start."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            for layer in module.lora_B.values():
                weight: Any = layer.weight
                nn.init.zeros_(weight)


class WithoutAdapter(nn.Module):
    """A model as it is without any adapter that it has or will have; it shares all its memory."""

    def __init__(self, base: PreTrainedModel) -> None:
        super().__init__()
        self.base = base
        self.config = base.config
        self.generation_config = getattr(base, "generation_config", None)  # a backbone writes nothing

    def forward(self, **arguments: Any) -> Any:  # noqa: ANN401 - as the model's own
        with switched_off(self.base):
            return self.base(**arguments)

    def requires_grad_(self, requires_grad: bool = True) -> "WithoutAdapter":  # noqa: FBT001, FBT002
        """Nothing: what is not the adapter's is frozen with it, and the adapter is another's."""
        return self


@contextmanager
def switched_off(model: nn.Module) -> Iterator[None]:
    """No adapter adds anything inside."""
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)


def shared(reference: Policy) -> Policy:
    """A reference whose model may become a policy by an adapter, and stays itself."""
    model: Any = WithoutAdapter(reference.model)
    return replace(reference, model=model)
