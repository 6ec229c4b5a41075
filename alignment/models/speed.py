"""How fast this machine computes, by one block of a transformer: with one token, and with many."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alignment.models.processors import default_device
from alignment.seam.memory import FLOAT
from alignment.seam.timing import Speed

WIDTH, HEADS = 256, 4  # of the block that is timed
ROWS, LENGTH = 4, 32  # that it reads: few enough to be through before another program has its turn
TIMES = 40  # at most; the best counts: whatever else ran meanwhile made others slower
LONG = 0.2  # seconds after which a few will do
FEW = 4
COPIED = 1 << 23  # numbers


class _Block(nn.Module):
    """Attention and a layer of four times its width, each beside its input, as GPT-2 has them."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.looks, self.says = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        """What becomes of (rows, length, width)."""
        rows, length, _ = hidden.shape
        parts = self.looks(self.before(hidden)).view(rows, length, 3, HEADS, -1).unbind(2)
        query, key, value = (part.transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.says(seen.transpose(1, 2).reshape(rows, length, WIDTH))
        found: Tensor = hidden + self.narrow(F.gelu(self.wide(self.between(hidden))))
        return found


@torch.no_grad()
def measure_speed(device: torch.device | None = None, start: float = 0.0) -> Speed:
    """What a block takes here, in some hundredths of a second; `start` is told by whoever measured that."""
    device = device or default_device()
    block = _Block().to(device).eval()
    one = torch.zeros(1, 1, WIDTH, device=device)
    many = torch.zeros(ROWS, LENGTH, WIDTH, device=device)
    source, target = torch.zeros(2, COPIED, device=device)
    begun = _best(lambda: block(one), device)
    computed = max(_best(lambda: block(many), device) - begun, 1e-9)
    copied = _best(lambda: target.copy_(source), device)
    size = sum(weight.numel() for weight in block.parameters())
    operations = ROWS * LENGTH * (2 * size + 4 * WIDTH * LENGTH)
    return Speed(
        block=begun,
        operations=operations / computed,
        bandwidth=2 * FLOAT * COPIED / copied,
        start=start,
    )


def _best(run: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of the fastest of some calls, after one that nobody counts."""
    run()
    found: list[float] = []
    while len(found) < TIMES and (len(found) < FEW or sum(found) < LONG):
        _finish(device)
        began = time.perf_counter()
        run()
        _finish(device)
        found.append(time.perf_counter() - began)
    return min(found)


def _finish(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
