"""LoRA: a product of two thin matrices is trained beside each frozen linear layer (Hu et al., 2022).

The layer adds scale * B A x; B starts at zero, so the policy starts as it was. Without its adapter the
model still is the reference, which therefore needs no memory of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.kinds.settings.adapters import AdapterSettings
from alignment.models.distributed import world
from alignment.models.encoder_decoders import reads_apart
from alignment.models.forms.form import make_plain, weights_in
from alignment.models.four_bits import count_of, is_rounded, transposes
from alignment.models.loading import open_model, refusing
from alignment.models.policies import Policy
from alignment.seam.errors import ConfigError
from alignment.seam.words import _

SCALE = 2  # of the product, whatever the rank, where no alpha is given
USUAL = AdapterSettings()
ATTENTION = ("attn", "attention")  # in the name of a layer that is part of one
ADAPTER = "adapter"  # folder of a result that holds the adapter by itself
NO_ADAPTER = "No adapter fits this kind of model, so it can only be trained whole, with a rank of 0"


def adapted(
    policy: Policy, rank: int, seed: int, how: AdapterSettings = USUAL
) -> tuple[Policy, PeftModel]:
    """The policy with an adapter in its model, all else frozen; and the handle that can merge it.

    Raises DataError for an architecture that no adapter fits, ConfigError where it has no such layers.
    """
    inner = policy.model.base if isinstance(policy.model, WithoutAdapter) else policy.model
    make_plain(inner)
    config = LoraConfig(
        r=rank,
        lora_alpha=how.lora_alpha or SCALE * rank,  # type: ignore[arg-type]  # PEFT takes any number
        lora_dropout=how.dropout,
        use_rslora=how.rslora,
        target_modules=targets_of(inner, how),
        fan_in_fan_out=transposes(inner) and not is_rounded(inner),
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


def targets_of(model: PreTrainedModel, how: AdapterSettings) -> str | list[str]:
    """The layers that get an adapter, as PEFT takes them; raises ConfigError where there are none."""
    if how.lora_targets == "all_linear":
        return "all-linear"
    last, found = model.get_output_embeddings(), list[str]()  # type: ignore[no-untyped-call]  # a backbone has none
    for name, module in model.named_modules():
        linear = isinstance(module, nn.Linear | Conv1D) and module is not last
        inside = any(part in name.lower() for part in ATTENTION)
        if linear and inside == (how.lora_targets == "attention"):
            found.append(name)
    if not found:
        raise ConfigError(_("The model has no such layers; let lora_targets be all_linear."))
    return found


@contextmanager
def dropping(model: nn.Module, seed: int) -> Iterator[None]:
    """The adapter's dropout works inside, by random numbers of its own; nothing else is drawn from them."""
    layers = [
        layer
        for module in model.modules()
        if isinstance(module, LoraLayer)
        for layer in module.lora_dropout.values()
        if isinstance(layer, nn.Dropout)
    ]
    if not layers:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()


@dataclass(frozen=True)
class KeptAdapter:
    """What an adapter is by itself, which merging it changes no more."""

    config: Any  # a LoraConfig
    weights: Mapping[str, Tensor]

    def save(self, folder: Path) -> None:
        """Write it below a result, as PEFT reads it."""
        place = folder / ADAPTER
        place.mkdir()
        self.config.save_pretrained(place)
        weights = {name: tensor.contiguous() for name, tensor in self.weights.items()}
        save_file(weights, place / "adapter_model.safetensors", metadata={"format": "pt"})


def kept_adapter(handle: PeftModel) -> KeptAdapter:
    """The adapter by itself, before it is merged."""
    config: Any = copy(handle.peft_config["default"])
    config.base_model_name_or_path, config.inference_mode = None, True
    config.fan_in_fan_out = transposes(handle)
    config.task_type = task_of(handle.get_base_model())
    found = get_peft_model_state_dict(handle).items()
    return KeptAdapter(config, {name: tensor.detach().cpu().clone() for name, tensor in found})


def task_of(model: Any) -> str:  # noqa: ANN401 - as PEFT's
    """What PEFT calls that which a model does: a backbone that writes nothing is read."""
    if model.get_output_embeddings() is None:
        return "FEATURE_EXTRACTION"
    return "SEQ_2_SEQ_LM" if reads_apart(model) else "CAUSAL_LM"


def merged(policy: Policy, handle: PeftModel) -> Policy:
    """A plain policy with the adapter's products in its weights; the model is changed in place.

    One whose weights are rounded stays as it is, and is saved with the weights that they were.
    """
    if is_rounded(policy.model):
        return RoundedPolicy(policy.model, policy.tokenizer, policy.placement, handle)
    model: Any = handle.merge_and_unload()
    return replace(policy, model=model.eval())


@dataclass(frozen=True)
class RoundedPolicy(Policy):
    """A policy that has learned by an adapter beside weights in 4 bits; nobody stores those."""

    handle: PeftModel | None = None

    def save(self, folder: Path) -> None:
        """Write the whole model that it was loaded from, with what the adapter learned added to its weights."""
        if world().rank:
            return
        assert self.handle is not None
        writes = self.model.get_output_embeddings() is not None  # type: ignore[no-untyped-call]  # as above
        source = Path(str(self.model.name_or_path))
        whole = open_model(source, "policy" if writes else "backbone").model
        added_to(whole, self.handle).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def added_to(whole: PreTrainedModel, handle: PeftModel) -> PreTrainedModel:
    """A whole model with an adapter's products in its weights, which learned beside the same ones rounded."""
    config = copy(handle.peft_config["default"])
    config.fan_in_fan_out = transposes(whole)  # type: ignore[attr-defined]  # a LoraConfig
    with torch.random.fork_rng(devices=[]):
        fresh: Any = get_peft_model(whole, config)
    loaded: Any = set_peft_model_state_dict(fresh, get_peft_model_state_dict(handle))
    assert not loaded.unexpected_keys
    found: PreTrainedModel = fresh.merge_and_unload()
    return found


def trained(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that a run changes: all of them, or those of the adapter."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def size_of(model: PreTrainedModel) -> int:
    """How many weights a policy has once its adapter, if it has one, is merged into the others."""
    own = sum(count_of(weight) for name, weight in model.named_parameters() if "lora_" not in name)
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
        self.generation_config = getattr(
            base, "generation_config", None
        )  # a backbone writes nothing

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
