"""What a form is, and the layers that compute in one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from transformers import PreTrainedModel


class Record(BaseModel):
    """What `form.json` says; each form adds what it was applied to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str
    version: int = 1


class StoredTensor(NamedTuple):
    """A tensor as the header of a file describes it."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StorageForm:
    """A way to keep a model's weights.

    Args:
        name: what `form.json` calls it.
        record: reads `form.json`.
        tensors: of a record and the model's outline, what the files must hold in place of plain weights, by name;
            raises DataError where the record names what is no layer, or one that the form cannot keep.
        plain: of a record, the outline and the files' tensors, the weights (fp32) these stand for, by the model's names;
            raises DataError where they stand for none.
        place: puts layers that compute in the form into a model that has the plain weights.
    """

    name: str
    record: type[Record]
    tensors: Callable[[Any, nn.Module], Mapping[str, StoredTensor]]
    plain: Callable[[Any, nn.Module, Mapping[str, Tensor]], dict[str, Tensor]]
    place: Callable[[Any, PreTrainedModel, Mapping[str, Tensor]], None]


class StoredLayer(nn.Module, ABC):
    """A layer that computes in a form: it reads and is never trained."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many weights it stands for; 0 where another layer counts them."""

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Bytes that it takes in memory."""

    @abstractmethod
    def plain(self) -> nn.Module:
        """A layer of torch's or transformers' that computes the same, to be trained."""

    def prepare(self) -> None:
        """Be ready to compute on the device where it is."""


def stored_layers(model: nn.Module) -> Iterator[tuple[str, StoredLayer]]:
    """The layers of a model that compute in a form, by name."""
    for name, module in model.named_modules():
        if isinstance(module, StoredLayer):
            yield name, module


def prepare(model: nn.Module) -> None:
    """Let every layer make ready for the device that it is on."""
    for _name, layer in stored_layers(model):
        layer.prepare()


def make_plain(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself, with every layer replaced by a plain one that can be trained; tied ones are tied again."""
    found = list(stored_layers(model))
    for name, layer in found:
        model.set_submodule(name, layer.plain())
    if found:
        model.tie_weights()
    return model


def weights_in(model: nn.Module) -> int:
    """How many weights the layers in a form stand for: they are no parameters."""
    return sum(layer.count for _name, layer in stored_layers(model))


@torch.no_grad()
def bytes_of(model: nn.Module) -> int:
    """Bytes that a model's weights and masks take in memory, shared ones once."""
    stored = [layer for _name, layer in stored_layers(model)]
    inner = {id(part) for layer in stored for part in layer.modules()}
    plain = {
        tensor.data_ptr(): tensor.nbytes
        for module in model.modules()
        if id(module) not in inner
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    }
    return sum(plain.values()) + sum(layer.bytes for layer in stored)
