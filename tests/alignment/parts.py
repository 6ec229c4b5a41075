"""One of several processes: what it holds of a model in parts, before, inside and after `held_whole`.

The first process prints JSON. It alone asks the model something inside: nobody waits for the others there.
"""

import json
import os

import torch
from torch.distributed.tensor import DTensor

from alignment.models.distributed import joined
from alignment.models.sharding import SHARDING, held_whole, spread
from tests.alignment.conftest import tiny_policy


def held(model):
    parts = (p.to_local() if isinstance(p, DTensor) else p for p in model.parameters())
    return sum(part.numel() for part in parts)


def main():
    os.environ[SHARDING] = "fsdp"
    ids = torch.arange(8)[None]
    with joined() as world, torch.no_grad():
        model = tiny_policy().model
        whole, expected = held(model), model(ids).logits
        spread(model)
        sizes = [held(model)]
        with held_whole(model):
            sizes.append(held(model))
            if world.rank == 0:
                assert torch.equal(model(ids).logits, expected)
        sizes.append(held(model))
        assert torch.equal(model(ids).logits, expected)  # of all together
    if world.rank == 0:
        print(json.dumps([size / whole for size in sizes]))


if __name__ == "__main__":
    main()
