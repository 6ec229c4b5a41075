"""Kill a writer of checkpoints at random moments, then load all it left.

`python -m tests.alignment.killed_writer KILLS SEED` prints one JSON line: the kills, those that tore
a write, the checkpoints found, and those that do not load. `--in-place` takes the protection away:
then every file is written where it is read.
"""

import json
import os
import random
import signal
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

from alignment.models import checkpoints
from alignment.models.policies import Policy
from alignment.seam import folders
from alignment.seam.errors import CheckpointError
from tests.alignment.conftest import tiny_tokenizer

LONGEST = 0.3  # seconds until a kill; a checkpoint takes some 20 ms


def a_policy(tokenizer: PreTrainedTokenizerFast) -> Policy:
    """Large enough that writing it takes a while: 5 MB."""
    config = GPT2Config(
        vocab_size=16,
        n_positions=32,
        n_embd=128,
        n_layer=6,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return Policy(GPT2LMHeadModel(config).eval(), tokenizer)


def write_until_killed(folder: Path, policy: Policy) -> None:
    """One checkpoint after another."""
    for step in count(1):
        tensors = {"optimizer/0.exp_avg": torch.full((1 << 18,), float(step))}
        checkpoints.save(folder, step, {"policy": policy}, tensors, {"kl": 0.0})


@contextmanager
def in_place(target: Path) -> Iterator[Path]:
    """What `committed` would be without its care: the folder is there from the first byte."""
    target.mkdir(parents=True)
    yield target
    folders._seal(target, folders._sync)


def kill_one(folder: Path, policy: Policy, after: float) -> None:
    """Fork a writer and kill it after so many seconds."""
    if not (writer := os.fork()):
        write_until_killed(folder, policy)
    time.sleep(after)  # the random moment itself
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)


def unloadable(checkpoint: Path) -> bool:
    """Whether the checkpoint does not load, or does not hold what was written."""
    try:
        tensors, facts = checkpoints.load(checkpoint)
        load_file(checkpoint / checkpoints.POLICY / "model.safetensors")
    except (CheckpointError, SafetensorError, OSError, ValueError):
        return True
    return bool((tensors["optimizer/0.exp_avg"] != facts["step"]).any())


def main() -> None:
    """All kills, each in a folder of its own."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--in-place", action="store_true")
    options = parser.parse_args()
    kills, seed = options.kills, options.seed
    if options.in_place:
        checkpoints.committed = in_place
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    chance, policy = random.Random(seed), a_policy(tiny_tokenizer())
    found, torn = [], 0
    with tempfile.TemporaryDirectory(prefix="attune-") as ground:
        for number in range(kills):
            folder = Path(ground, str(number))
            folder.mkdir()
            kill_one(folder, policy, chance.uniform(0, LONGEST))
            found += [unloadable(path) for path in folder.glob("ckpt-*")]
            torn += any(folder.glob(".tmp-*"))
    figures = {"kills": kills, "found": len(found), "torn": torn, "unloadable": sum(found)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
