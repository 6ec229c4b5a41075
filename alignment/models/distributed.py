"""One run in several processes: which rows are whose, and how their sums meet.

Every process holds the whole model and all that decides the next step, and draws the same random
numbers; only rows are parted among them. Losses are divided by counts over all processes, so sums of
their gradients are those of one process. In one process nothing here does anything.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

T = TypeVar("T")

BUCKET = 1 << 24  # numbers that are summed at once


class World(NamedTuple):
    """Which process this is, and of how many; the first writes what a run leaves behind."""

    rank: int
    size: int


_apart: ContextVar[bool] = ContextVar("apart", default=False)


def world() -> World:
    """This process among those of its run."""
    joined = dist.is_available() and dist.is_initialized() and not _apart.get()
    return World(dist.get_rank(), dist.get_world_size()) if joined else World(0, 1)


@contextmanager
def apart() -> Iterator[None]:
    """Compute as if there were no other process: what is too small to share."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


@contextmanager
def joined() -> Iterator[World]:
    """Meet the other processes that torchrun started, one per GPU where there are GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World(0, 1)
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield world()
    finally:
        dist.destroy_process_group()


def shard(rows: Sequence[T]) -> tuple[Sequence[T], float]:
    """This process's rows, and the share they are of all; where there are too few, one of share 0.

    Nobody gets no rows, as all processes have to take part in whatever they do with theirs.
    """
    mine = own(len(rows))
    if not mine:
        return rows[:1], 0.0
    return rows[mine.start : mine.stop], len(mine) / len(rows)


def own(count: int) -> range:
    """Which of so many rows, or groups of rows, are this process's; possibly none."""
    rank, size = world()
    return range(rank * count // size, (rank + 1) * count // size)


def all_sum(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if world().size > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
    return value


def all_max(value: Tensor) -> Tensor:
    """The largest over all processes."""
    if world().size > 1:
        value = value.detach().clone()
        dist.all_reduce(value, dist.ReduceOp.MAX)
    return value


def all_sums(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics, each already multiplied by this process's share, summed over all processes."""
    sums = all_sum(torch.tensor(list(values.values()), dtype=torch.float64, device=_device()))
    return dict(zip(values, sums.tolist(), strict=True))


def agreed(wish: str) -> str:
    """What the first process read, in all of them."""
    if world().size == 1:
        return wish
    letters = torch.zeros(64, dtype=torch.uint8, device=_device())
    letters[: len(wish)] = torch.tensor(list(wish.encode()), dtype=torch.uint8)
    dist.broadcast(letters, src=0)
    return bytes(letters.tolist()).rstrip(b"\0").decode()


def gathered(rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes, in their order; narrower ones are padded with zeros."""
    if world().size == 1:
        return rows
    shapes = [
        torch.zeros(rows.ndim, dtype=torch.long, device=rows.device) for _ in range(world().size)
    ]
    dist.all_gather(shapes, torch.tensor(rows.shape, device=rows.device))
    widest = torch.stack(shapes).amax(0).tolist()
    sent = rows.new_zeros(widest)
    sent[tuple(slice(size) for size in rows.shape)] = rows
    parts = [torch.empty_like(sent) for _ in shapes]
    dist.all_gather(parts, sent)
    return torch.cat([part[: int(shape[0])] for part, shape in zip(parts, shapes, strict=True)])


def reduce_gradients(groups: Iterable[Iterable[torch.nn.Parameter]]) -> None:
    """Sum the gradients of all groups of an optimizer's parameters over all processes, in place.

    A model held in parts has seen to its own. The one place where gradients travel, bucket by bucket: whoever wants them smaller begins here.
    """
    if world().size == 1:
        return
    for bucket in _buckets(
        [p for group in groups for p in group if p.requires_grad and not isinstance(p, DTensor)]
    ):
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in bucket]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        for parameter, part in zip(
            bucket, torch.split(flat, [g.numel() for g in grads]), strict=True
        ):
            parameter.grad = part.view_as(parameter)


def clip(parameters: Iterable[torch.nn.Parameter], longest: float) -> float:
    """Scale the gradient down to a length, in place; the length it had."""
    rows = list(parameters)
    kinds = [[p for p in rows if isinstance(p, DTensor) is parted] for parted in (False, True)]
    if all(kinds):  # some weights in parts and some whole, which no operation takes together
        norm = math.hypot(*(clip(kind, math.inf) for kind in kinds))
        for parameter in rows:
            if parameter.grad is not None:
                parameter.grad.mul_(min(1.0, longest / (norm + 1e-6)))
        return norm
    found = torch.nn.utils.clip_grad_norm_(rows, longest)
    return float(found.full_tensor() if isinstance(found, DTensor) else found)


def _buckets(parameters: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Neighbours of one type, BUCKET numbers or a single parameter at once."""
    bucket: list[torch.nn.Parameter] = []
    for parameter in parameters:
        full = sum(p.numel() for p in bucket) + parameter.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != parameter.dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
