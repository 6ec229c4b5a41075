"""Factors: linear layers as sums of sub-layers of low rank, of which a budget buys the first ones of each.

A layer computes y = Σ_j U_j V_jᵀ (x - m) + c over the blocks that it was bought: `left` (out, rank) and `right`
(rank, in) hold all blocks that are kept, the worthiest first, and where the layer has a bias, `mean` m and `center` c
stand beside them, so that an average input is answered exactly however few the blocks are. One folder serves
every budget up to what it keeps: `form.json` says what each block is worth and what it costs.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.maths.factors import Factors, shared_out
from alignment.models.forms.form import Record, StorageForm, StoredLayer, StoredTensor
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import printable
from alignment.seam.words import _

NAME = "factors"
FLOAT = 4  # bytes
LEFT, RIGHT, MEAN, CENTER = "left", "right", "mean", "center"
Linear = nn.Linear | Conv1D
Unit = Literal["parameters", "bytes", "milliseconds"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Falling = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Budget(BaseModel):
    """What the blocks of all layers may cost together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: Unit = "parameters"
    most: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LayerBlocks(BaseModel):
    """The blocks that are kept of a layer: their ranks, what each is worth, and how long each takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranks: tuple[Annotated[int, Field(ge=1)], ...]
    gains: tuple[Falling, ...]  # falling per cost
    milliseconds: tuple[Positive, ...]

    @model_validator(mode="after")
    def _as_many_of_each(self) -> Self:
        if not len(self.ranks) == len(self.gains) == len(self.milliseconds):
            raise ValueError("ranks, gains and milliseconds are not as many")
        return self


class FactorRecord(Record):
    """Which layers are kept as blocks, and the budget by which they are used."""

    form: Literal["factors"] = "factors"
    layers: dict[str, LayerBlocks]
    budget: Budget


def costs_in(blocks: LayerBlocks, outputs: int, inputs: int, unit: Unit) -> list[float]:
    """What each block of a layer costs in a unit."""
    if unit == "milliseconds":
        return list(blocks.milliseconds)
    each = FLOAT if unit == "bytes" else 1
    return [float(each * rank * (outputs + inputs)) for rank in blocks.ranks]


def ranks_bought(record: FactorRecord, shapes: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """The rank that the record's budget gives each layer, of shapes (out, in)."""
    gains = {name: blocks.gains for name, blocks in record.layers.items()}
    costs = {
        name: costs_in(blocks, *shapes[name], record.budget.unit)
        for name, blocks in record.layers.items()
    }
    bought = shared_out(gains, costs, record.budget.most)
    return {name: sum(record.layers[name].ranks[:count]) for name, count in bought.items()}


def sides_of(layer: Linear) -> tuple[int, int]:
    """Outputs and inputs of a layer."""
    first, second = layer.weight.shape
    return (second, first) if isinstance(layer, Conv1D) else (first, second)


class FactorLinear(StoredLayer):
    """A linear layer of low rank; `turned` is one whose weight lay the other way, a Conv1D."""

    def __init__(self, factors: Factors, bias: Tensor | None, *, turned: bool = False) -> None:
        super().__init__()
        self.turned = turned
        self.left = nn.Parameter(factors.left.detach(), requires_grad=False)
        self.right = nn.Parameter(factors.right.detach(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @property
    def count(self) -> int:
        """None: its factors are parameters themselves."""
        return 0

    @property
    def bytes(self) -> int:
        """Bytes that it takes in memory."""
        return sum(one.nbytes for one in self.parameters())

    def forward(self, states: Tensor) -> Tensor:
        """(..., out) of states (..., in)."""
        inner = F.linear(states, self.right.to(states.dtype))
        bias = None if self.bias is None else self.bias.to(states.dtype)
        return F.linear(inner, self.left.to(states.dtype), bias)

    def plain(self) -> nn.Module:
        """A linear layer, or a Conv1D, of the weights that it stands for."""
        weight = self.left.detach() @ self.right.detach()
        outputs, inputs = weight.shape
        layer: nn.Module
        if self.turned:
            layer = Conv1D(outputs, inputs)  # type: ignore[no-untyped-call]  # transformers has no types for it
            layer.weight = nn.Parameter(weight.T.contiguous())
        else:
            layer = nn.Linear(inputs, outputs, bias=self.bias is not None)
            layer.weight = nn.Parameter(weight)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone())
        return layer.to(weight.device)


def factor_tensors(
    name: str, factors: Factors, mean: Tensor | None, center: Tensor | None
) -> dict[str, Tensor]:
    """A layer's tensors as the files hold them; `mean` and `center` where it has a bias."""
    found = {f"{name}.{LEFT}": factors.left, f"{name}.{RIGHT}": factors.right}
    if mean is not None and center is not None:
        found |= {f"{name}.{MEAN}": mean, f"{name}.{CENTER}": center}
    return {key: one.detach().float().contiguous() for key, one in found.items()}


def plain_names(name: str, layer: Linear) -> list[str]:
    """The plain weights that a layer's factors stand for."""
    return [f"{name}.weight", *([f"{name}.bias"] if layer.bias is not None else [])]


def layers_of(record: FactorRecord, outline: nn.Module) -> dict[str, Linear]:
    """The layers that a record names; raises DataError where one is none that factors can stand for."""
    return {name: _layer_at(name, outline) for name in record.layers}


def _layer_at(name: str, outline: nn.Module) -> Linear:
    try:
        found = outline.get_submodule(name)
    except AttributeError:
        found = None
    model: Any = outline
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not isinstance(found, nn.Linear | Conv1D) or found is head:
        raise DataError(
            _("The form names “{name}”, which is no layer that factors can stand for.").format(
                name=printable(name)
            )
        )
    return found


def _tensors(record: FactorRecord, outline: nn.Module) -> dict[str, StoredTensor]:
    found = {}
    for name, layer in layers_of(record, outline).items():
        outputs, inputs = sides_of(layer)
        rank = sum(record.layers[name].ranks)
        if rank > min(outputs, inputs):
            raise DataError(
                _("The form has a rank of {rank:,} for “{name}”, which is {sides}.").format(
                    rank=rank, name=printable(name), sides=f"{outputs} by {inputs}"
                )
            )
        found[f"{name}.{LEFT}"] = StoredTensor("F32", (outputs, rank))
        found[f"{name}.{RIGHT}"] = StoredTensor("F32", (rank, inputs))
        if layer.bias is not None:
            found[f"{name}.{MEAN}"] = StoredTensor("F32", (inputs,))
            found[f"{name}.{CENTER}"] = StoredTensor("F32", (outputs,))
    return found


def bought(
    record: FactorRecord, outline: nn.Module, tensors: Mapping[str, Tensor]
) -> dict[str, tuple[Factors, Tensor | None]]:
    """What the record's budget buys of each layer, with the bias that goes with so many blocks; raises DataError."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise DataError(
                _("“{name}” holds what is no finite number.").format(name=printable(name))
            )
    layers = layers_of(record, outline)
    ranks = ranks_bought(record, {name: sides_of(layer) for name, layer in layers.items()})
    found = {}
    for name, rank in ranks.items():
        factors = Factors(tensors[f"{name}.{LEFT}"], tensors[f"{name}.{RIGHT}"]).first(rank)
        bias = None
        if layers[name].bias is not None:
            bias = bias_at(factors, tensors[f"{name}.{MEAN}"], tensors[f"{name}.{CENTER}"])
        found[name] = factors, bias
    return found


def bias_at(factors: Factors, mean: Tensor, center: Tensor) -> Tensor:
    """The bias (out,) by which these blocks answer the mean input with the center."""
    return center - factors.left @ (factors.right @ mean)


def _plain(
    record: FactorRecord, outline: nn.Module, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    found = {}
    for name, (factors, bias) in bought(record, outline, tensors).items():
        turned = isinstance(outline.get_submodule(name), Conv1D)
        found[f"{name}.weight"] = (factors.weight.T if turned else factors.weight).contiguous()
        if bias is not None:
            found[f"{name}.bias"] = bias
    return found


def _place(record: FactorRecord, model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
    for name, (factors, bias) in bought(record, model, tensors).items():
        turned = isinstance(model.get_submodule(name), Conv1D)
        model.set_submodule(name, FactorLinear(factors, bias, turned=turned))


def at_budget(record: FactorRecord, budget: Budget) -> FactorRecord:
    """The same record, used by another budget."""
    return record.model_copy(update={"budget": budget})


FORM = StorageForm(NAME, FactorRecord, _tensors, _plain, _place)
