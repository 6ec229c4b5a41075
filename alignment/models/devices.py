"""Where a model's weights are: on one device, or with its layers spread over all that there are.

Each layer computes on one device, which hands what it gave to the next one's; logits come back to where the tokens
were. Where nothing is learned, layers that fit no GPU stay in memory, or else in the model's own files, and are
fetched to the first device for each forward. accelerate's hooks do this around a model's own forward, so such a
model is read by transformers and not by our readers.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.integrations.accelerate import get_balanced_memory, infer_auto_device_map

from alignment.models.distributed import world
from alignment.models.four_bits import four_bits, shrink
from alignment.models.processors import default_device
from alignment.seam.errors import ConfigError, OutOfMemoryError
from alignment.seam.memory_use import GIB, available
from alignment.seam.settings import Settings
from alignment.seam.variables import EngineVariables, read
from alignment.seam.words import _

Device = int | str  # the number of a GPU, or one of these:
MEMORY, DISK = "cpu", "disk"
SHARE = 0.8  # of what is free on a device: the rest is for what layers compute
MIB = 1 << 20


class Placement(NamedTuple):
    """How a model that is loaded is to be held."""

    spread: bool = False
    learns: bool = False  # so that its weights have to stay where they compute
    rounded: bool = False  # its linear layers are held in 4 bits

    @classmethod
    def of(cls, config: Settings, *, learns: bool = False) -> "Placement":
        """What a run's settings say."""
        rounded = getattr(config, "base_weights", "stored") == "nf4"
        return cls(getattr(config, "placement", "one") == "spread", learns, rounded)

    def arguments(self, outline: Callable[[], PreTrainedModel]) -> dict[str, Any]:
        """What to tell transformers when it loads a model with this outline; raises as `layout`, and ConfigError."""
        if not (self.spread or self.rounded):
            return {}
        rounding = {"quantization_config": four_bits()} if self.rounded else {}
        places = layout(outline(), self) if self.spread else {"": default_device()}
        return {"device_map": places, **rounding}


ONE = Placement()


def settled(model: PreTrainedModel) -> Any:  # noqa: ANN401 - the same model; transformers' `to` has no types
    """The model on the default device, or where its layers were spread to."""
    handle: Any = model
    return model if "hf_device_map" in vars(model) else handle.to(default_device())


def device_of(model: nn.Module) -> torch.device:
    """Where a model takes its tokens and gives its logits."""
    hook = _hook_of(model)
    return torch.device(hook.execution_device) if hook else next(model.parameters()).device


def is_fetched(model: nn.Module) -> bool:
    """Whether some of a model's weights are fetched for each forward."""
    return any(weight.is_meta for weight in model.parameters())


def layout(outline: PreTrainedModel, placement: Placement) -> dict[str, Device]:
    """The device of each part of a model without weights: GPUs evenly, then memory, then the disk.

    Raises OutOfMemoryError where it learns and does not fit the devices, ConfigError where several processes share
    the run.
    """
    if world().size > 1:
        raise ConfigError(
            _(
                "A model is spread over all devices by one process; start the run in one, or choose one device."
            )
        )
    free, blocks = rooms(learns=placement.learns), set(outline._no_split_modules or ())
    outline.float()  # type: ignore[no-untyped-call]  # transformers has no types for it
    if placement.rounded:
        shrink(outline)
    found: dict[str, Device] = {}
    for limits in (get_balanced_memory(outline, dict(free), blocks), free):
        found = infer_auto_device_map(outline, dict(limits), blocks)
        if set(found.values()) <= set(computing(free)):
            return found
    if placement.learns:
        raise OutOfMemoryError(too_large_for(free, outline))
    return found


def computing(rooms: Mapping[Device, int]) -> list[Device]:
    """The devices that compute: GPUs where there are some."""
    return [device for device in rooms if device != MEMORY] or [MEMORY]


def too_large_for(free: Mapping[Device, int], outline: PreTrainedModel) -> str:
    """Why a model cannot learn on these devices."""
    size = sum(weight.numel() * weight.element_size() for weight in outline.parameters())
    return _(
        "The layers take {size:.1f} GiB and do not fit the devices, which have {room:.1f} GiB for them ({count} in "
        "all). Choose a smaller model, or a worker with more."
    ).format(size=size / GIB, room=sum(free.values()) / GIB, count=len(free))


def rooms(*, learns: bool) -> dict[Device, int]:
    """Bytes of each device that a model may take: of every GPU, and of memory where it may stay there."""
    found: dict[Device, int] = {
        number: torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())
    }
    if not (learns and found):
        found[MEMORY] = available()
    most = read(EngineVariables).device_mib * MIB or math.inf
    return {device: int(min(SHARE * size, most)) for device, size in found.items()}


def _hook_of(model: nn.Module) -> Any:  # noqa: ANN401 - accelerate's, without types
    """What hands tokens to the first device of a spread model; None of any other, with or without an adapter."""
    return getattr(getattr(model, "base", model), "_hf_hook", None)
