"""A model that no process holds whole: weights, gradients and moments in parts (FSDP).

Every forward of such a model needs all processes, so each takes part equally often: one forward of all its
rows, however many these are. Only to draw completions, which end at other times in each, it is held whole.
Asked for by ATTUNE_SHARDING=fsdp where a run has several processes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from alignment.models.distributed import world
from alignment.seam.variables import EngineVariables, read

SHARDING = "ATTUNE_SHARDING"


def spread(model: PreTrainedModel) -> None:
    """Part the model among the processes, block by block, where that is asked for."""
    if not read(EngineVariables).sharding or world().size == 1:
        return
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module)
    # Left whole by a look at rows that is no step, what is no block's would be learned where it no longer is.
    fully_shard(model, reshard_after_forward=True)
    for part in shards(model):  # sums, as losses are divided by counts over all processes
        part.set_force_sum_reduction_for_comms(enable=True)
        part.set_gradient_divide_factor(1.0)


def shards(model: Any) -> list[FSDPModule]:  # noqa: ANN401 - any module
    """The modules that are held in parts, each by itself; none of a model that is whole."""
    return [part for part in model.modules() if isinstance(part, FSDPModule)]


@contextmanager
def held_whole(model: Any) -> Iterator[None]:  # noqa: ANN401 - any module
    """Every process has all weights inside, so that each may do as many forwards as it likes.

    All have to come in and to go out together, and nobody differentiates inside.
    """
    parts = shards(model)
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


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


def load_whole(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Give a model all its weights, of which every process has all."""
    if is_spread(model):
        set_model_state_dict(model, dict(weights), options=StateDictOptions(full_state_dict=True))
    else:
        model.load_state_dict(weights)


def full(tensor: Tensor) -> Tensor:
    """All of a tensor that may be held in parts; all processes have to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def parted_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """A tensor of a parameter's shape, of which every process has all, held as the parameter is."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(
        tensor.to(parameter.device), parameter.device_mesh, parameter.placements
    )
