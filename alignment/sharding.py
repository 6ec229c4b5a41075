"""A model that no process holds whole: weights, gradients and moments in parts (FSDP).

Every forward of such a model needs all processes, so each takes part equally often: one forward of all its
rows, however many these are. Asked for by ATTUNE_SHARDING=fsdp where a run has several processes.
"""

import os
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, fully_shard
from transformers import PreTrainedModel

from alignment.distributed import world
from alignment.errors import ConfigError

SHARDING = "ATTUNE_SHARDING"


def spread(model: PreTrainedModel) -> None:
    """Part the model among the processes, block by block, where that is asked for."""
    asked = os.environ.get(SHARDING, "")
    if asked not in ("", "fsdp"):
        raise ConfigError(f"{SHARDING} is “{asked}”; it can be fsdp, or nothing.")
    if not asked or world().size == 1:
        return
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module)
    fully_shard(model)
    for part in model.modules():
        if isinstance(part, FSDPModule):  # sums, as losses are divided by counts over all processes
            part.set_force_sum_reduction_for_comms(enable=True)
            part.set_gradient_divide_factor(1.0)


def is_spread(model: Any) -> bool:  # noqa: ANN401 - any module
    """Whether a model is held in parts."""
    return isinstance(model, FSDPModule)


def whole(model: PreTrainedModel) -> dict[str, Tensor] | None:
    """All weights of a model held in parts, in the first process; None for any other model."""
    if not is_spread(model):
        return None
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights: dict[str, Any] = get_model_state_dict(model, options=options)
    return weights
