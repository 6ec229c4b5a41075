"""INT8: linear layers, and embeddings where wished, with a scale for each row.

A layer's weight lies in the files as its module has it, in whole numbers of eight bits; beside it stand
`weight_scale` and, asymmetric, `weight_zero_point`. An embedding and a head that is tied to it are kept once.

On a CPU a layer multiplies whole numbers, so it also rounds what it reads, to seven bits: with eight, fbgemm's
kernel saturates where a CPU has only AVX2. A row x becomes s h, where s is its largest magnitude and
h = round(63 x / s) / 63; in two parts what is left is rounded in the same way, 126 times as finely. Channels that
are far larger than all others, as most language models have some, would leave nothing of the rest: they are
`apart`, and multiplied in fp32. The kernel has one scale for all rows; two more rows make it 1/63, so that what a row
becomes depends on no other. Elsewhere weights alone are rounded.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, NonNegativeInt
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.maths.int8 import LOWEST, SMALLEST, Int8, to_int8
from alignment.models.forms.form import Record, StorageForm, StoredLayer, StoredTensor
from alignment.seam.errors import DataError
from alignment.seam.modelfiles import printable
from alignment.seam.words import _

Scheme = Literal["symmetric", "asymmetric"]
NAME = "int8"
ENGINES = {"fbgemm", "x86"}  # whose kernels are given rows as told above
STEPS = 63  # of a row, to each side of zero
TOP = (STEPS + 1) / STEPS  # with -1 the range whose 127 steps have zero among them
SCALE, ZERO = "weight_scale", "weight_zero_point"
Layer = nn.Linear | Conv1D | nn.Embedding


class InputReading(BaseModel):
    """How a layer reads its inputs on a CPU: in one part or two, and which channels apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: Literal[1, 2] = 2
    apart: tuple[NonNegativeInt, ...] = ()


class Int8Layer(InputReading):
    """How one layer is kept, and how it reads; an embedding's is how the head reads that is tied to it."""

    scheme: Scheme


class Int8Record(Record):
    """Which layers are kept in eight bits."""

    form: Literal["int8"] = "int8"
    layers: dict[str, Int8Layer]


class Int8Linear(StoredLayer):
    """A linear layer in eight bits; `turned` is one whose weight lay the other way, a Conv1D."""

    def __init__(
        self,
        kept: Int8,
        bias: Tensor | None,
        reading: InputReading,
        *,
        turned: bool = False,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.turned, self.tied, self.reading = turned, tied, reading
        self.values: Tensor
        self.out_features, self.in_features = kept.values.shape
        self.register_buffer("values", kept.values)
        self.register_buffer("scales", kept.scales)
        self.register_buffer("zeros", kept.zeros)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.packed: Any = None
        self.apart: Tensor | None = None  # numbers of channels
        self.columns: Tensor  # (apart, out) their weights

    @property
    def kept(self) -> Int8:
        """The weight (out, in) as it is kept."""
        values: Any = self.values if self.packed is None else _unpacked(self.packed)
        scales: Any = self.scales
        zeros: Any = self.zeros
        return Int8(values, scales, zeros)

    @property
    def count(self) -> int:
        """How many weights it stands for."""
        return 0 if self.tied else self.out_features * self.in_features

    @property
    def bytes(self) -> int:
        """Bytes in memory; what is packed for a CPU's kernel takes as many again as the embedding it is tied to."""
        own = self.tied and self.packed is None
        beside = sum(one.nbytes for one in (*self.parameters(), *self.buffers()) if one.numel())
        packed = self.out_features * self.in_features if self.packed is not None else 0
        apart = self.columns.nbytes if self.apart is not None else 0
        return 0 if own else beside + packed + apart

    def prepare(self) -> None:
        """On a CPU, lay the weight out for its kernel; it is not kept twice."""
        values: Any = self.values
        if values.device.type != "cpu" or torch.backends.quantized.engine not in ENGINES:
            return
        if self.reading.apart:
            self.apart = torch.tensor(self.reading.apart)
            self.columns = self.kept.weight[:, self.apart].T.contiguous()
        self.packed = _packed(self.kept)
        self.values = values.new_empty(0)

    def forward(self, states: Tensor) -> Tensor:
        """(..., out) of states (..., in), in their precision."""
        if self.packed is None:
            return F.linear(states, self.kept.weight.to(states.dtype), self.bias)
        rows = states.reshape(-1, self.in_features).float()
        found = self._product(rows)
        if self.apart is not None:
            found.addmm_(rows[:, self.apart], self.columns)
        if self.bias is not None:
            found.add_(self.bias)
        return found.view(*states.shape[:-1], -1).to(states.dtype)

    def _product(self, rows: Tensor) -> Tensor:
        """(n, out) of rows (n, in), without the channels that are apart."""
        count, parts = len(rows), self.reading.parts
        read = rows.new_empty(parts * count + 2, self.in_features)
        coarse, ends = read[:count], read[-2:]
        coarse.copy_(rows)
        if self.apart is not None:
            coarse.index_fill_(1, self.apart, 0.0)
        sizes = coarse.abs().amax(1, keepdim=True).clamp_(min=SMALLEST)
        coarse.div_(sizes)
        ends[0], ends[1] = -1.0, TOP
        if parts == 1:
            return self._multiplied(read)[:count].mul_(sizes)
        exact = coarse.clone()
        coarse.mul_(STEPS).round_().div_(STEPS)
        torch.sub(exact, coarse, out=read[count : 2 * count]).mul_(2 * STEPS)
        found = self._multiplied(read)
        fine = found[count : 2 * count]
        return found[:count].add_(fine, alpha=1 / (2 * STEPS)).mul_(sizes)

    def _multiplied(self, read: Tensor) -> Tensor:
        found: Tensor = torch.ops.quantized.linear_dynamic(read, self.packed, reduce_range=True)
        return found

    def plain(self) -> nn.Module:
        """A linear layer, or a Conv1D, of the weights that it stands for."""
        weight, bias = self.kept.weight, self.bias
        layer: nn.Module
        if self.turned:
            layer = Conv1D(self.out_features, self.in_features)  # type: ignore[no-untyped-call]  # as above
            layer.weight = nn.Parameter(weight.T.contiguous())
        else:
            layer = nn.Linear(self.in_features, self.out_features, bias=bias is not None)
            layer.weight = nn.Parameter(weight)
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach().clone())
        return layer.to(weight.device)


class Int8Embedding(StoredLayer):
    """An embedding in eight bits."""

    def __init__(self, kept: Int8, padding: int | None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = kept.values.shape
        self.padding = padding
        self.register_buffer("values", kept.values)
        self.register_buffer("scales", kept.scales)
        self.register_buffer("zeros", kept.zeros)

    @property
    def kept(self) -> Int8:
        """The weight (tokens, width) as it is kept."""
        values: Any = self.values
        scales: Any = self.scales
        zeros: Any = self.zeros
        return Int8(values, scales, zeros)

    @property
    def count(self) -> int:
        """How many weights it stands for."""
        return self.num_embeddings * self.embedding_dim

    @property
    def bytes(self) -> int:
        """Bytes in memory."""
        return sum(one.nbytes for one in self.buffers())

    def forward(self, ids: Tensor) -> Tensor:
        """(..., width) of token ids."""
        flat, kept = ids.reshape(-1), self.kept
        zeros = None if kept.zeros is None else kept.zeros[flat]
        rows = Int8(kept.values[flat], kept.scales[flat], zeros)
        return rows.weight.view(*ids.shape, -1)

    def plain(self) -> nn.Module:
        """An embedding of the weights that it stands for."""
        return nn.Embedding(
            self.num_embeddings, self.embedding_dim, self.padding, _weight=self.kept.weight
        )


class LayerChoice(NamedTuple):
    """The layers of a model that eight bits can keep, and the others with weights, by name."""

    layers: dict[str, Layer]
    others: dict[str, int]  # with how many weights they have


def choice_of(model: PreTrainedModel, *, embeddings: bool) -> LayerChoice:
    """What is kept in eight bits, and what is not: a head goes with the embedding that it is tied to."""
    tokens: Any = model.get_input_embeddings()
    layers: dict[str, Layer] = {}
    others: dict[str, int] = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter):
            continue
        if module is tokens:
            chosen = embeddings
        elif weight is tokens.weight:
            continue  # the tied head: its embedding is named
        else:
            chosen = isinstance(module, nn.Linear | Conv1D)
        if chosen and isinstance(module, nn.Linear | Conv1D | nn.Embedding):
            layers[name] = module
        else:
            others[name] = sum(one.numel() for one in module.parameters(recurse=False))
    return LayerChoice(layers, others)


def int8_of(layer: Layer, scheme: Scheme) -> Int8:
    """A layer's weight in eight bits, an output channel or a token a row."""
    weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
    return to_int8(weight, symmetric=scheme == "symmetric")


def int8_tensors(name: str, layer: Layer, kept: Int8) -> Iterator[tuple[str, Tensor]]:
    """A layer's tensors as the files hold them."""
    values = kept.values.T if isinstance(layer, Conv1D) else kept.values
    yield f"{name}.weight", values.contiguous()
    yield f"{name}.{SCALE}", kept.scales
    if kept.zeros is not None:
        yield f"{name}.{ZERO}", kept.zeros


def _layer_at(name: str, outline: nn.Module) -> Layer:
    """The layer of this name; raises DataError where eight bits keep none there."""
    try:
        found = outline.get_submodule(name)
    except AttributeError:
        found = None
    if not isinstance(found, nn.Linear | Conv1D | nn.Embedding):
        raise DataError(
            _("The form names “{name}”, which is no layer that eight bits can keep.").format(
                name=printable(name)
            )
        )
    return found


def _tensors(record: Int8Record, outline: nn.Module) -> dict[str, StoredTensor]:
    found = {}
    for name, told in record.layers.items():
        layer = _layer_at(name, outline)
        shape = tuple(layer.weight.shape)
        rows, columns = reversed(shape) if isinstance(layer, Conv1D) else shape
        if any(channel >= columns for channel in told.apart):
            raise DataError(
                _("“{name}” has {columns:,} channels, and the form puts others apart.").format(
                    name=printable(name), columns=columns
                )
            )
        found[f"{name}.weight"] = StoredTensor("I8", shape)
        found[f"{name}.{SCALE}"] = StoredTensor("F32", (rows,))
        if told.scheme == "asymmetric":
            found[f"{name}.{ZERO}"] = StoredTensor("I8", (rows,))
    return found


def _kept(name: str, layer: nn.Module, tensors: Mapping[str, Tensor]) -> Int8:
    """What the files hold of a layer, an output channel or a token a row; raises DataError."""
    values, scales = tensors[f"{name}.weight"], tensors[f"{name}.{SCALE}"]
    zeros = tensors.get(f"{name}.{ZERO}")
    if not (scales.isfinite().all() and (scales > 0).all()):
        raise DataError(
            _("“{name}” has scales that are no positive numbers.").format(name=printable(name))
        )
    if zeros is None and bool((values == LOWEST).any()):
        raise DataError(
            _("“{name}” holds a number that no symmetric scheme gives.").format(
                name=printable(name)
            )
        )
    return Int8(values.T.contiguous() if isinstance(layer, Conv1D) else values, scales, zeros)


def _plain(
    record: Int8Record, outline: nn.Module, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    found = {}
    for name in record.layers:
        layer = _layer_at(name, outline)
        weight = _kept(name, layer, tensors).weight
        found[f"{name}.weight"] = weight.T.contiguous() if isinstance(layer, Conv1D) else weight
    return found


def as_placed(layer: Layer, kept: Int8, reading: InputReading) -> Int8Linear | Int8Embedding:
    """The layer that computes as another one does, in eight bits."""
    if isinstance(layer, nn.Embedding):
        return Int8Embedding(kept, layer.padding_idx)
    return Int8Linear(kept, layer.bias, reading, turned=isinstance(layer, Conv1D))


def _place(record: Int8Record, model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
    tokens: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers has no types for it
    tied = head is not None and head.weight is tokens.weight
    for name, told in record.layers.items():
        layer: Any = model.get_submodule(name)
        kept = _kept(name, layer, tensors)
        model.set_submodule(name, as_placed(layer, kept, told))
        if tied and layer is tokens:
            called = next(name for name, module in model.named_modules() if module is head)
            model.set_submodule(called, Int8Linear(kept, head.bias, told, tied=True))


def _packed(kept: Int8) -> Any:  # noqa: ANN401 - a script object of torch's
    """A weight as fbgemm's kernel reads it."""
    zeros = torch.zeros(len(kept.scales)) if kept.zeros is None else kept.zeros
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that such tensors will go in some version
        whole = torch._make_per_channel_quantized_tensor(
            kept.values, kept.scales.double(), zeros.long(), 0
        )
        return torch.ops.quantized.linear_prepack(whole, None)


def _unpacked(packed: Any) -> Tensor:  # noqa: ANN401 - as above
    """The whole numbers (out, in) of a packed weight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found: Tensor = torch.ops.quantized.linear_unpack(packed)[0].int_repr()
    return found


FORM = StorageForm(NAME, Int8Record, _tensors, _plain, _place)
