"""What the linear layers of a model read, write and are worth, on texts: gathered once, so that each is fitted by itself.

Layers are gathered in groups that fit into so much memory, a pass over the texts for each; how they are grouped
changes nothing of what is gathered.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.sampling.scoring import batches, completion_logits, token_logps
from alignment.seam.progress import split, through

FLOAT = 4  # bytes
ROOM = 2**29  # bytes that a group of layers takes
APART = 5  # of so many texts one only measures
Linear = nn.Linear | Conv1D


class Seen(NamedTuple):
    """A layer on the tokens of texts, of which some only measure."""

    inputs: Tensor  # (n, in)
    outputs: Tensor  # (n, out)
    gradients: Tensor  # (n, out) of the texts' log-probability
    fitted: Tensor  # (n,) bool

    def part(self, *, fitted: bool) -> "Seen":
        """Those tokens that are fitted to, or the others."""
        picked = self.fitted if fitted else ~self.fitted
        return Seen(*(one[picked] for one in self))


def weight_of(layer: Linear) -> Tensor:
    """A layer's weight (out, in)."""
    weight: Tensor = layer.weight.detach()
    return weight.T if isinstance(layer, Conv1D) else weight


def hidden_layers(model: PreTrainedModel) -> dict[str, Linear]:
    """The linear layers of a model's blocks by name: all but the head."""
    inner: Any = model
    tokens, head = inner.get_input_embeddings(), inner.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and module.weight is not tokens.weight
    }


def seen_by(
    policy: Policy, rows: Sequence[Written], layers: Mapping[str, Linear], room: int = ROOM
) -> Iterator[tuple[str, Seen]]:
    """Each layer with what it has seen on these texts; one that no text came to is left out."""
    count = sum(row.length for row in rows)
    groups = list(_grouped(layers, count, room))
    for names in through(groups, len(groups)):
        gathering, using = split(1, 1)
        with gathering:
            found = _gathered(policy, rows, {name: layers[name] for name in names})
        with using:
            for name in through(list(found), len(found)):
                yield name, found.pop(name)


def _grouped(layers: Mapping[str, Linear], tokens: int, room: int) -> Iterator[list[str]]:
    """Names of layers whose inputs, outputs and gradients on so many tokens fit in together."""
    group: list[str] = []
    taken = 0
    for name, layer in layers.items():
        outputs, inputs = weight_of(layer).shape
        size = FLOAT * tokens * (inputs + 2 * outputs)
        if group and taken + size > room:
            yield group
            group, taken = [], 0
        group.append(name)
        taken += size
    if group:
        yield group


def _gathered(
    policy: Policy, rows: Sequence[Written], layers: Mapping[str, Linear]
) -> dict[str, Seen]:
    """What these layers see on all texts."""
    rollouts = rollouts_of(policy, rows)
    totals = torch.tensor([row.length - 1 for row in rows], device=policy.device)
    fitted = torch.arange(len(rows), device=policy.device) % APART != APART - 1
    parts: dict[str, list[Seen]] = {name: [] for name in layers}
    with torch.enable_grad(), calls_of(layers) as calls:
        for batch in batches(policy.model, rollouts):
            calls.clear()
            logps = token_logps(completion_logits(policy.model, batch), batch)
            pairs = [(name, *pair) for name, found in calls.items() for pair in found]
            slopes = torch.autograd.grad(logps.sum(), [one[2] for one in pairs], allow_unused=True)
            places = torch.arange(batch.ids.shape[1], device=policy.device)
            real = places < totals[batch.rows][:, None]
            kept = fitted[batch.rows][:, None].expand_as(real)[real]
            for (name, inputs, outputs), slope in zip(pairs, slopes, strict=True):
                slope = torch.zeros_like(outputs) if slope is None else slope
                if inputs.shape[:2] == real.shape:
                    read, wrote = inputs.detach()[real], outputs.detach()[real]
                    parts[name].append(Seen(read, wrote, slope[real], kept))
    return {
        name: Seen(*(torch.cat(column) for column in zip(*found, strict=True)))
        for name, found in parts.items()
        if found
    }


@contextmanager
def calls_of(layers: Mapping[str, Linear]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Inside, every call of these layers leaves its input and its output under the layer's name."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def keep(name: str) -> Any:  # noqa: ANN401 - a hook of torch's
        def hook(_layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            calls.setdefault(name, []).append((given[0], output))

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
