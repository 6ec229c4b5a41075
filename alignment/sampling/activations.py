"""What a policy's linear layers gave while it drew completions, kept for the backward pass of learning from them.

A policy that learns from completions as soon as it has drawn them would multiply by the same weights what it has
multiplied before. So a reader's linear layers write into tables what they give, a row for each token; whoever
learns looks it up there. What lies between them (norms, attention, activation functions) costs little and is
computed again, with gradients; so are the logits.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alignment.sampling.readers.maps import Adapted, Affine, Dense, Map
from alignment.sampling.readers.reader import TokenReader
from alignment.seam.memory import KEPT


class Activations:
    """The outputs of the linear layers of a model's blocks, for every token that was read to draw completions.

    They are those of the weights as they were; `hold` says whether these are the same still.
    """

    places: (
        Tensor  # (rows, limit) the tables' row of the token that each token of a completion follows
    )

    def __init__(
        self,
        model: nn.Module,
        widths: Sequence[int],
        prompts: Sequence[Sequence[int]],
        shape: torch.Size,
    ) -> None:
        """Room for (rows, limit) tokens behind prompts that are padded on the left, by layers of these widths."""
        rows, limit = shape
        self.model = model
        self._width = max(map(len, prompts))
        self._rows = {tuple(prompt): row for row, prompt in enumerate(prompts)}
        self._start, self._end = 0, len(prompts) * self._width  # of the tokens that are read now
        size, dtype = self._end + rows * (limit - 1), next(model.parameters()).dtype
        self._tables = [torch.empty(size, width, dtype=dtype) for width in widths]
        self._versions = self._changes()
        last = torch.arange(1, len(prompts) + 1) * self._width - 1
        # Where nothing will be read there stands something that was: padding must be finite.
        self.places = last.repeat_interleave(rows // len(prompts))[:, None].repeat(1, limit)

    @property
    def hold(self) -> bool:
        """Whether they are kept, and the model would give them again."""
        return bool(self._tables) and self._versions == self._changes()

    def forget(self) -> None:
        """Give their memory back."""
        self._tables = []

    def begin(self, rows: Tensor, number: int) -> None:
        """Say that of these rows the tokens are read next that come before their tokens of this number."""
        self._start, self._end = self._end, self._end + len(rows)
        self.places[rows, number] = torch.arange(self._start, self._end)

    def written_by(self, reader: TokenReader) -> TokenReader:
        """A reader that writes what its layers give."""
        tables = iter(self._tables)
        return reader.with_layers(lambda layer: partial(self._write, layer, next(tables)))

    def looked_up_by(self, model: nn.Module, reader: TokenReader, places: Tensor) -> TokenReader:
        """A reader of the tokens at these places (rows, length), which looks up what its layers give.

        Another model's is the same as before.
        """
        if model is not self.model:
            return reader
        tables = iter(self._tables)
        return reader.with_layers(lambda layer: partial(look_up, layer, next(tables), places))

    def of_prompts(self, prompts: Sequence[tuple[int, ...]], width: int) -> Tensor:
        """(prompts, width) places of the prompts' tokens but their last ones, padded on the left."""
        rows = torch.tensor([self._rows[prompt] for prompt in prompts])[:, None]
        columns = torch.arange(self._width - 1 - width, self._width - 1)
        return (rows * self._width + columns).clamp(min=0)  # a prompt of one token has only padding

    def _write(self, layer: Map, table: Tensor, states: Tensor) -> Tensor:
        found = layer(states)
        table[self._start : self._end] = found.view(-1, found.shape[-1])
        return found

    def _changes(self) -> list[int]:
        return [weight._version for weight in self.model.parameters()]


def activations_of(
    model: nn.Module, reader: TokenReader, prompts: Sequence[Sequence[int]], shape: torch.Size
) -> Activations | None:
    """Where to keep what a reader gives while (rows, limit) tokens are drawn; None where that is not worth it.

    On a GPU a forward is a small part of a step, and memory is what there is too little of.
    """
    rows, limit = shape
    found = [parts_of(layer) for layer in reader.layers]
    if next(model.parameters()).is_cuda or rows == len(prompts) or not all(found):
        return None
    widths = [len(parts[0]) for parts in found]
    tokens = len(prompts) * max(map(len, prompts)) + rows * (limit - 1)
    fits = tokens * sum(widths) * reader.dtype.itemsize <= KEPT
    return Activations(model, widths, prompts, shape) if fits else None


def parts_of(layer: Map) -> tuple[Any, ...]:
    """Weight (outer, inner) and bias, of an adapted layer its thin matrices too; nothing of any other."""
    match layer:
        case Dense(weight, bias):
            return weight, bias
        case Affine(weight, bias):
            return weight.T, bias
        case Adapted(Dense() | Affine() as inner, down, up, scale):
            return *parts_of(inner), down, scale * up
    return ()


def look_up(layer: Map, table: Tensor, places: Tensor, states: Tensor) -> Tensor:
    """(rows, length, outer) what a layer gave of these states: the table's rows at places (rows, length)."""
    known: Any = _Known  # whose apply has no types
    found: Tensor = known.apply(states, lambda: F.embedding(places, table), *parts_of(layer))
    return found


class _Known(torch.autograd.Function):
    """W x + b, and of an adapted layer B A x more, whose values are looked up: the backward pass alone multiplies."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, look: Callable[[], Tensor], *parts: Tensor) -> Tensor:  # noqa: ANN401
        """(rows, length, outer) of states (rows, length, inner)."""
        weight, _, *thin = parts
        ctx.save_for_backward(states, weight, *thin)
        return look()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """What comes back to the states, nothing to the values, and to each part that is trained."""
        states, weight, *thin = ctx.saved_tensors
        wanted, _, to_weight, to_bias, *_ = ctx.needs_input_grad
        rows, back = states.flatten(0, -2), given.flatten(0, -2)
        to_states = back @ weight if wanted else None
        to_thin: list[Tensor] = []
        if thin:
            down, up = thin
            narrow = back @ up
            to_thin = [narrow.T @ rows, back.T @ (rows @ down.T)]
            to_states = to_states.addmm_(narrow, down) if to_states is not None else None
        return (
            to_states.view(states.shape) if to_states is not None else None,
            None,
            _outer(back, rows, weight) if to_weight else None,
            back.sum(0) if to_bias else None,
            *to_thin,
        )


def _outer(back: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """(outer, inner) the gradient of a weight, laid out as that is."""
    return back.T @ rows if weight.is_contiguous() else (rows.T @ back).T
