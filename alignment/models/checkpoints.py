"""Checkpoints: all that decides a run's next step, in a folder that is complete or not there."""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from alignment.models.distributed import world
from alignment.models.lowrank import LowRankAdamW
from alignment.models.sharding import full, parted_like
from alignment.seam.events import CheckpointSaved
from alignment.seam.folders import committed, discard, manifest_sha256, size, verify

KEPT = 2
NAME = re.compile(r"ckpt-\d{6,}")
TENSORS, FACTS, POLICY = "state.safetensors", "state.json", "policy"


class Saved(Protocol):
    """Whatever can write itself as a folder."""

    def save(self, folder: Path) -> None:
        """Write it there; the folder is not there yet."""


def save(
    run_folder: Path,
    step: int,
    policies: Mapping[str, Saved],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> CheckpointSaved:
    """Commit `ckpt-<step>` below the run folder and drop all but the newest two; path is relative.

    Every policy, or other thing that saves itself, becomes a folder of its name.
    """
    target = run_folder / f"ckpt-{step:06d}"
    with committed(target) as folder:
        for name, policy in policies.items():
            policy.save(folder / name)
        if world().rank:  # the first process has the same tensors
            tensors = {}
        # Clones, as safetensors refuses tensors that share memory.
        save_file({name: t.detach().cpu().clone() for name, t in tensors.items()}, folder / TENSORS)
        (folder / FACTS).write_text(json.dumps({**facts, "step": step, "machine": machine()}))
    _prune(run_folder)
    return CheckpointSaved(
        step=step, path=target.name, manifest_sha256=manifest_sha256(target), bytes=size(target)
    )


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a checkpoint; raises CheckpointError where it does not verify."""
    verify(folder)
    return load_file(folder / TENSORS), json.loads((folder / FACTS).read_text())


def facts_of(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of itself, without its tensors."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    return facts


def threads_of(folder: Path) -> int:
    """How many threads computed the checkpoint: sums depend on it."""
    return int(facts_of(folder)["machine"]["threads"])


def machine() -> dict[str, Any]:
    """What two runs must share for their weights to agree bit by bit."""
    gpus = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cpu": cpu_type(),
        "gpu": ", ".join(sorted(gpus)),
        "processes": world().size,
    }


def cpu_type() -> str:
    """The processor's model and the vector instructions that torch uses on it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return f"{name} {torch.backends.cpu.get_cpu_capability()}"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter number: `0.exp_avg`, `0.step`, ..."""
    if isinstance(optimizer, LowRankAdamW):
        optimizer.settle()
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": full(t) for number, row in state.items() for name, t in row.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    parameters = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = parted_like(parameters[int(number)], tensor)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    if isinstance(optimizer, LowRankAdamW) and world().rank:
        optimizer.forget_own()


def renumbered(
    tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, weights: Sequence[Tensor]
) -> dict[str, Tensor]:
    """An optimizer's state that numbers parameters as these weights stand, by the numbers that it has for them."""
    now = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    numbers = {str(old): now.index(id(weight)) for old, weight in enumerate(weights)}
    parted = {key: key.split(".", 1) for key in tensors}
    return {f"{numbers[old]}.{name}": tensors[key] for key, (old, name) in parted.items()}


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `named` put under a prefix."""
    start = f"{prefix}/"
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def _prune(run_folder: Path) -> None:
    found = sorted(path for path in run_folder.iterdir() if NAME.fullmatch(path.name))
    for old in found[:-KEPT]:
        discard(old)
