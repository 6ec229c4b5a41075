"""One f-DPG step of a large model in bf16: against its floor, compiled, and with less memory.

A GPT-2 of 124 or 355 million parameters with random weights and fixed lengths; `--size tiny` shows on a CPU
that it all runs. Arms take turns; `tokens_per_s` counts completion tokens of whole steps. What needs a GPU
and has none is "not run". The product has no CUDA graphs of its own; compiling is inductor's.
"""

import json
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from transformers.utils import logging

from alignment.models.processors import default_device
from benchmarks.floor import Floor
from benchmarks.scenes import LARGE, Scene, Size, fixed
from benchmarks.step import BETA, COMPLETIONS, LONGEST, PROMPTS, RATE, Ours, ratio, reward, timed

WARMUP = 3
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "compiled": {"compile": True},
    "lora": {"lora_rank": 16},
    "checkpointing": {"gradient_checkpointing": True},
    "lora_checkpointing": {"lora_rank": 16, "gradient_checkpointing": True},
}


def finished() -> None:
    """Wait for what the GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def against_floor(scene: Scene, size: Size, pairs: int) -> dict[str, float]:
    """The floor's time over that of a plain step, both in bf16."""
    ours, device = Ours.on(scene, precision="bf16"), default_device()
    weights = ours.state.policy.model.state_dict()
    floor, seconds = Floor.of(weights, size.layers, size.heads, RATE), []
    for _ in range(WARMUP + pairs):
        mine = timed(lambda: (ours.step(), finished()))
        with device, torch.autocast(device.type, dtype=torch.bfloat16):
            step = partial(floor.step, ours.prompts(), ours.lengths[-1], reward, BETA)
            theirs = timed(lambda step=step: (step(), finished()))
        seconds.append((theirs, mine))
    return ratio(seconds[WARMUP:])


def variant(scene: Scene, settings: dict[str, object], steps: int) -> dict[str, float] | str:
    """Seconds, tokens a second and the most memory in GiB (0 on a CPU) of such steps."""
    on_gpu = torch.cuda.is_available()
    if settings.get("compile") and not on_gpu:
        return "not run"
    ours = Ours.on(scene, precision="bf16", **settings)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = [timed(lambda: (ours.step(), finished())) for _ in range(WARMUP + steps)][WARMUP:]
    memory = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    median = float(np.median(seconds))
    tokens = PROMPTS * COMPLETIONS * LONGEST / median
    return {"seconds": round(median, 4), "tokens_per_s": round(tokens), "gib": round(memory, 2)}


def main() -> int:
    """Parse, measure, print the figures."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=LARGE, default="124m")
    parser.add_argument("--pairs", type=int, default=30, help="of steps, with the floor")
    parser.add_argument("--steps", type=int, default=10, help="of each variant")
    options = parser.parse_args()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    size = LARGE[options.size]
    with TemporaryDirectory() as folder:
        scene = fixed(size, Path(folder))
        figures = {name: variant(scene, asked, options.steps) for name, asked in VARIANTS.items()}
        closeness = against_floor(scene, size, options.pairs)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    given = {"size": options.size, "device": device, "pairs": options.pairs}
    print(json.dumps(given | {"time_closeness": closeness} | figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
