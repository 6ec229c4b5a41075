"""Key-value caches with room from the start: nothing is copied when a token is read or a row ends."""

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import (
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from alignment.seam.errors import ConfigError
from alignment.seam.words import _


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers' __init_subclass__
    """A layer's keys and values: the first rows and columns of a larger allocation."""

    keys: Tensor
    values: Tensor

    def __init__(self, layer: DynamicLayer, copies: int, room: int) -> None:
        """So many copies of each row of another layer, with room for more tokens."""
        super().__init__()  # type: ignore[no-untyped-call]  # transformers has no types for it
        assert layer.keys is not None
        assert layer.values is not None
        self.keys, self._all_keys = _with_room(layer.keys, copies, room)
        self.values, self._all_values = _with_room(layer.values, copies, room)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_options: object
    ) -> tuple[Tensor, Tensor]:
        """Write new tokens' keys and values (rows, heads, tokens, width) behind the others."""
        rows, _, start, _ = self.keys.shape
        end = start + key_states.shape[2]
        self.keys, self.values = self._all_keys[:rows, :, :end], self._all_values[:rows, :, :end]
        self.keys[:, :, start:] = key_states
        self.values[:, :, start:] = value_states
        return self.keys, self.values

    def move(self, targets: Tensor, sources: Tensor, rows: int) -> None:
        """Write the sources' rows over the targets, then forget all but the first rows."""
        device = self.keys.device  # of the layer
        targets, sources = targets.to(device), sources.to(device)
        self.keys[targets] = self.keys[sources]
        self.values[targets] = self.values[sources]
        self.keys, self.values = self.keys[:rows], self.values[:rows]


def check_cache(model: PreTrainedModel) -> None:
    """Raise ConfigError where a model does not keep what it has read in a cache that it is given."""
    if "past_key_values" not in inspect.signature(type(model).forward).parameters:
        raise ConfigError(
            _(
                "This kind of model keeps no keys and values, so it cannot be sampled from here; "
                "choose a transformer."
            )
        )


def check_kept(cache: DynamicCache) -> None:
    """Raise ConfigError where a model has read and kept of it nothing, or a part, in its cache.

    Whatever it keeps in itself instead is not repeated or forgotten with the rows.
    """
    if all(getattr(layer, "keys", None) is None for layer in cache.layers):
        raise ConfigError(_("This kind of model keeps no keys and values; choose a transformer."))
    for layer in cache.layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            states = (layer.is_conv_states_initialized, layer.is_recurrent_states_initialized)
            if not any(any(state.values()) for state in states):
                raise ConfigError(
                    _(
                        "This kind of model keeps some of what it has read in itself and not in its cache, "
                        "so several completions of one prompt would share it; choose another kind."
                    )
                )


def new_cache(model: PreTrainedModel, *, whole: bool = False) -> DynamicCache:
    """An empty cache; where it keeps the whole of what is read, whoever reads has to know how far to look back."""
    cache = DynamicCache(config=model.config)
    if whole:
        kept: list[Any] = [
            DynamicLayer() if isinstance(layer, DynamicSlidingWindowLayer) else layer  # type: ignore[no-untyped-call]  # transformers has no types for it
            for layer in cache.layers
        ]
        cache.layers = kept
    return cache


def repeat(cache: DynamicCache, rows: int, copies: int, room: int) -> None:
    """Repeat each of the rows, and give room to the layers that attend to all that was read."""
    check_kept(cache)
    order: Any = torch.arange(rows).repeat_interleave(copies)
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[number] = RoomyLayer(layer, copies, room)
        else:
            layer.reorder_cache(order)


def keep(cache: DynamicCache, rows: Tensor, device: torch.device) -> Tensor:
    """Forget the rows (n,) that are False; which of the former ones the rows on the device are now.

    As few as possible move: the last ones, to where others ended.
    """
    left = int(rows.sum())
    order: Any = torch.arange(left)
    targets, sources = (~rows[:left]).nonzero()[:, 0], rows[left:].nonzero()[:, 0] + left
    order[targets] = sources
    order, targets, sources = order.to(device), targets.to(device), sources.to(device)
    for layer in cache.layers:
        if isinstance(layer, RoomyLayer):
            layer.move(targets, sources, left)
        else:
            layer.reorder_cache(order)
    return torch.as_tensor(order)


def plain_layers(cache: DynamicCache) -> list[DynamicLayer]:
    """The layers that keep keys and values of all that was read, and nothing else."""
    return [layer for layer in cache.layers if type(layer) is DynamicLayer]


def _with_room(states: Tensor, copies: int, room: int) -> tuple[Tensor, Tensor]:
    """The repeated states (b, heads, length, width), and the allocation that begins with them."""
    b, heads, length, width = states.shape
    whole = states.new_empty(b, copies, heads, length + room, width)
    whole[:, :, :, :length] = states[:, None]
    whole = whole.flatten(0, 1)
    return whole[:, :, :length], whole
