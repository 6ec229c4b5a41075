"""A smaller model that begins as part of a larger one: some of its layers, some of their heads and channels.

Layers are taken evenly, the first and the last among them. What of the width stays is what weighs most: a channel, a
group of heads and an inner unit are worth the share that they have in the squares of each matrix they are in, summed
over the matrices.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.models.policies import Policy, fuse_activations, output_layer
from alignment.seam.errors import ConfigError
from alignment.seam.progress import through
from alignment.seam.words import _

NARROWED = ("gpt2", "llama", "mistral", "qwen2", "bert")  # architectures whose matrices are known
FUSED = "attn.c_attn"  # query, key and value in one
# What a matrix writes and what it reads, by the end of its layer's name; all others: channels of the states.
ROLES: Mapping[str, tuple[str, str]] = {
    FUSED: ("heads", "states"),
    "q_proj": ("heads", "states"),
    "k_proj": ("heads", "states"),
    "v_proj": ("heads", "states"),
    "self.query": ("heads", "states"),
    "self.key": ("heads", "states"),
    "self.value": ("heads", "states"),
    "attn.c_proj": ("states", "heads"),
    "o_proj": ("states", "heads"),
    "attention.output.dense": ("states", "heads"),
    "mlp.c_fc": ("inner", "states"),
    "gate_proj": ("inner", "states"),
    "up_proj": ("inner", "states"),
    "intermediate.dense": ("inner", "states"),
    "mlp.c_proj": ("states", "inner"),
    "down_proj": ("states", "inner"),
    "output.dense": ("states", "inner"),
}


class BlockSizes(NamedTuple):
    """Of a model's blocks: their number, and what of each role there is; groups of heads share keys."""

    layers: int
    states: int
    groups: int
    inner: int


class WeightAxis(NamedTuple):
    """A dimension of a weight: what is along it, in which layer (-1: of all), and in how many equal parts."""

    role: str
    layer: int
    parts: int = 1


Picks = Mapping[tuple[str, int], Tensor]  # of a role in a layer, the numbers that stay


def student_of(teacher: Policy, layers: int, share: float) -> Policy:
    """A model of so many of a teacher's layers and this share of its width, with its tokenizer.

    Raises ConfigError where it has fewer layers, or where its architecture cannot be narrowed.
    """
    model = teacher.model
    size = block_sizes(model)
    if layers > size.layers:
        raise ConfigError(
            _("The teacher has {count} layers; ask for so many at most.").format(count=size.layers)
        )
    if share < 1 and model.config.model_type not in NARROWED:
        raise ConfigError(
            _(
                "A narrower model of the architecture {name} cannot be made here; ask for fewer layers of the "
                "whole width."
            ).format(name=model.config.model_type)
        )
    groups = max(1, round(share * size.groups))
    part = groups / size.groups
    less = BlockSizes(layers, round(part * size.states), groups, round(part * size.inner))
    taken = evenly(size.layers, layers)
    student = empty_model(model, less, taken)
    student.load_state_dict(weights_left(model, student, (size, less), taken))
    student.tie_weights()
    fuse_activations(student)
    return Policy(student.to(teacher.device).eval(), teacher.tokenizer)  # type: ignore[arg-type]  # as Policy.load


def block_sizes(model: PreTrainedModel) -> BlockSizes:
    """What a model's blocks are like."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    return BlockSizes(
        config.num_hidden_layers, config.hidden_size, groups, inner or 4 * config.hidden_size
    )


def evenly(count: int, taken: int) -> list[int]:
    """So many of `count` layers at equal distances, the first and the last among them."""
    if taken == 1:
        return [0]
    return [round(place * (count - 1) / (taken - 1)) for place in range(taken)]


def empty_model(model: PreTrainedModel, less: BlockSizes, taken: Sequence[int]) -> PreTrainedModel:
    """A model of these dimensions and the same architecture; the global random numbers stay as they are."""
    config: Any = copy.deepcopy(model.config)
    heads = config.num_attention_heads
    size = block_sizes(model)
    apart = getattr(config, "head_dim", None) or config.hidden_size // heads
    config.num_hidden_layers, config.hidden_size = less.layers, less.states
    config.num_attention_heads = heads * less.groups // size.groups
    if getattr(config, "num_key_value_heads", None):
        config.num_key_value_heads = less.groups
        config.head_dim = apart
    name = "n_inner" if hasattr(config, "n_inner") else "intermediate_size"
    setattr(config, name, less.inner)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[place] for place in taken]
    with torch.random.fork_rng(devices=[]):
        found: Any = type(model)._from_config(config)  # type: ignore[no-untyped-call]  # transformers has no types for it
    made: PreTrainedModel = found.to(model.dtype)
    return made


def weights_left(
    model: PreTrainedModel,
    student: PreTrainedModel,
    sizes: tuple[BlockSizes, BlockSizes],
    taken: Sequence[int],
) -> dict[str, Tensor]:
    """The student's weights, each a part of the model's."""
    blocks = block_list(model, sizes[0].layers)
    whole, axes = model.state_dict(), axes_of(model, blocks)
    picks = picks_of(whole, axes, sizes, taken)
    found = {}
    names = list(student.state_dict())
    for name in through(names, len(names)):
        source = source_of(name, blocks, taken)
        tensor = whole[source]
        for dimension, axis in enumerate(axes.get(source, ())):
            kept = picks.get((axis.role, axis.layer))
            if kept is not None:
                places = entries(kept, axis, tensor.shape[dimension], sizes[0])
                tensor = tensor.index_select(dimension, places)
        found[name] = tensor.clone()
    return found


def source_of(name: str, blocks: str, taken: Sequence[int]) -> str:
    """What a weight of the student is called in its teacher."""
    if not name.startswith(f"{blocks}."):
        return name
    place, rest = name[len(blocks) + 1 :].split(".", 1)
    return f"{blocks}.{taken[int(place)]}.{rest}"


def block_list(model: PreTrainedModel, count: int) -> str:
    """The name of the list of a model's blocks; raises ConfigError where there is none, or another one as long."""
    lists: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in lists)
        if isinstance(module, nn.ModuleList) and len(module) == count and not inside:
            lists.append(name)
    if len(lists) != 1:
        raise ConfigError(
            _("The layers of the architecture {name} are not known here.").format(
                name=model.config.model_type
            )
        )
    return lists[0]


def axes_of(model: PreTrainedModel, blocks: str) -> dict[str, tuple[WeightAxis, ...]]:
    """What is along each dimension of the weights, by name; along vocabulary and places nothing may go."""
    found = {}
    head = output_layer(model)
    for name, module in model.named_modules():
        inside = name.startswith(blocks + ".")
        layer = int(name[len(blocks) + 1 :].split(".")[0]) if inside else -1
        wrote, read = roles_of(name) if inside else ("states", "states")
        axes = weight_axis(wrote, layer, 3 if name.endswith(FUSED) else 1), weight_axis(read, layer)
        for own, tensor in module.named_parameters(recurse=False):
            of_tokens = isinstance(module, nn.Embedding) or tensor is head.weight
            if of_tokens or tensor is getattr(head, "bias", None):
                axes = WeightAxis("", -1), axes[1]
            turned = isinstance(module, Conv1D) and tensor.dim() == 2
            found[f"{name}.{own}"] = (axes[::-1] if turned else axes)[: tensor.dim()]
    return found


def roles_of(name: str) -> tuple[str, str]:
    """What a layer of a block writes and reads."""
    return next((roles for end, roles in ROLES.items() if name.endswith(end)), ("states", "states"))


def weight_axis(role: str, layer: int, parts: int = 1) -> WeightAxis:
    """The states are the same ones in every layer."""
    return WeightAxis(role, -1 if role == "states" else layer, parts)


def picks_of(
    whole: Mapping[str, Tensor],
    axes: Mapping[str, tuple[WeightAxis, ...]],
    sizes: tuple[BlockSizes, BlockSizes],
    taken: Sequence[int],
) -> Picks:
    """What stays of each role: that which is worth most, in its order."""
    size, less = sizes
    counts = {
        "states": (size.states, less.states),
        "heads": (size.groups, less.groups),
        "inner": (size.inner, less.inner),
    }
    worths: dict[tuple[str, int], Tensor] = {}
    for name, own in axes.items():
        tensor = whole[name].detach().double()
        for place, axis in enumerate(own):
            inside = axis.layer == -1 or axis.layer in taken
            if axis.role and tensor.dim() == 2 and inside:
                count = counts[axis.role][0]
                squares = tensor.square().sum(1 - place).view(axis.parts, count, -1).sum((0, 2))
                key = (axis.role, axis.layer)
                worths[key] = worths.get(key, torch.zeros_like(squares)) + squares / squares.sum()
    return {
        key: worth.topk(counts[key[0]][1]).indices.sort().values
        for key, worth in worths.items()
        if counts[key[0]][1] < counts[key[0]][0]
    }


def entries(kept: Tensor, axis: WeightAxis, length: int, size: BlockSizes) -> Tensor:
    """Where along a dimension of this length the entries of what stays are."""
    count = {"states": size.states, "heads": size.groups, "inner": size.inner}[axis.role]
    places = torch.arange(length, device=kept.device).view(axis.parts, count, -1)
    return places[:, kept].flatten()
