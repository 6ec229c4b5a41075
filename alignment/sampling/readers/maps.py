"""Linear layers as readers compute them: plain ones, those in a form, and what a LoRA adapter adds."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from alignment.models.forms.factors import FactorLinear
from alignment.models.forms.form import StoredLayer
from alignment.models.forms.int8 import Int8Embedding, Int8Linear

_STORED = {Int8Linear, Int8Embedding, FactorLinear}  # which compute by themselves
_ADAPTER = {LoraLinear, nn.ModuleDict, nn.ParameterDict}
_PLAIN = {nn.ModuleList, nn.Embedding, nn.Linear, nn.Dropout, Conv1D}


class Map(Protocol):
    """A linear layer."""

    def __call__(self, states: Tensor, /) -> Tensor:
        """(..., outer) of states (..., inner)."""


class Affine(NamedTuple):
    """x W + b, of a weight that lies so."""

    weight: Tensor  # (inner, outer)
    bias: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        """(..., outer) of states (..., inner)."""
        found = torch.addmm(self.bias, states.view(-1, states.shape[-1]), self.weight)
        return found.view(*states.shape[:-1], -1)


class Dense(NamedTuple):
    """W x + b, of a weight that lies so."""

    weight: Tensor  # (outer, inner)
    bias: Tensor | None

    def __call__(self, states: Tensor) -> Tensor:
        """(..., outer) of states (..., inner)."""
        return F.linear(states, self.weight, self.bias)


class Adapted(NamedTuple):
    """A layer and the product of two thin matrices: f(x) + scale * B A x."""

    inner: Map
    down: Tensor  # A, (rank, inner)
    up: Tensor  # B, (outer, rank)
    scale: float

    def __call__(self, states: Tensor) -> Tensor:
        """(..., outer) of states (..., inner)."""
        found, narrow = self.inner(states), F.linear(states, self.down)
        flat = found.view(-1, found.shape[-1])
        flat.addmm_(narrow.view(-1, narrow.shape[-1]), self.up.T, alpha=self.scale)
        return flat.view(found.shape)


def layers_of(part: object) -> list[Map]:
    """The linear layers of a part of a reader, in the order in which `with_layers` changes them."""
    if isinstance(part, Affine | Dense | Adapted | StoredLayer):
        return [part]
    return [layer for one in part for layer in layers_of(one)] if isinstance(part, tuple) else []


def with_layers(part: Any, change: Callable[[Map], Map]) -> Any:  # noqa: ANN401 - any part of a reader
    """The same part of a reader, with each of its linear layers changed."""
    if isinstance(part, Affine | Dense | Adapted | StoredLayer):
        return change(part)
    if not isinstance(part, tuple):
        return part
    changed = [with_layers(one, change) for one in part]
    return type(part)(*changed) if hasattr(part, "_fields") else tuple(changed)


def map_of(module: nn.Module, *, adapted: bool) -> Map:
    """A layer's weights; one in a form computes by itself. `adapted` says whether adapters add to it."""
    match module:
        case StoredLayer():
            return module
        case LoraLinear():
            return _with_adapters(module) if adapted else map_of(module.base_layer, adapted=False)
        case Conv1D():
            return Affine(module.weight, module.bias)
        case nn.Linear():
            return Dense(module.weight, module.bias)
    raise TypeError(type(module))


def computes_as_known(
    model: nn.Module, known: Collection[type], own: Collection[nn.Module]
) -> bool:
    """Whether each part is of a known type, or one of the model's own, computes as usual, and nobody listens."""
    types = {*known, *_STORED, *_ADAPTER, *_PLAIN}
    return all(
        (type(part) in types or part in own or _drops_nothing(name, part))
        and not part.training
        and not _is_changed(part)
        for name, part in model.named_modules()
    )


def _with_adapters(module: LoraLinear) -> Map:
    found = map_of(module.base_layer, adapted=False)
    for name in () if module.disable_adapters else module.active_adapters:
        if name in module.lora_A:
            down: Any = module.lora_A[name].weight
            up: Any = module.lora_B[name].weight
            found = Adapted(found, down, up, module.scaling[name])
    return found


def _is_changed(module: nn.Module) -> bool:
    """Whether a part computes by another function than its type's, or tells somebody what it computes."""
    listened = module._forward_hooks or module._forward_pre_hooks
    listened = listened or module._backward_hooks or module._backward_pre_hooks
    other = isinstance(module, LoraLinear) and not _is_plain_lora(module)
    return bool("forward" in vars(module) or listened or other)


def _drops_nothing(name: str, module: nn.Module) -> bool:
    """Whether it stands where an adapter without dropout has it."""
    return type(module) is nn.Identity and "lora_dropout" in name


def _is_plain_lora(module: LoraLinear) -> bool:
    """Whether it adds the product alone, in the precision of its layer."""
    thin = [*module.lora_A.values(), *module.lora_B.values()]
    base = module.base_layer
    return (
        type(base) in (nn.Linear, Conv1D)
        and not (module.merged or module.lora_variant)
        and all(one.bias is None and one.weight.dtype == base.weight.dtype for one in thin)
    )
