"""A checkpoint of an alignment as a model: whole, with what it was aimed at, as that run's result will be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.checkpoint.settings import CheckpointConfig
from alignment.kinds.spec import RunSpec
from alignment.models import checkpoints
from alignment.models.lora import adapted, kept_adapter, load_trained, merged, size_of, trained
from alignment.models.policies import Policy
from alignment.models.processors import default_device
from alignment.models.training import Progress
from alignment.objectives.receipts import receipts
from alignment.seam.errors import CheckpointError
from alignment.seam.events import Finished, PhaseStarted, Ready
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split
from alignment.seam.words import _
from alignment.targets.targets import save_target


def keep_checkpoint(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind checkpoint: write `inputs["checkpoint"]` as a model into `folder/output`; raises CheckpointError.

    With LoRA it is made of the adapter in it and `inputs["policy"]`, which the run began with.
    """
    config = CheckpointConfig.stored(spec.config)
    at = {role: folder / path for role, path in spec.inputs.items()}
    yield Ready(total_steps=0, threads=torch.get_num_threads(), device=str(default_device()))
    yield PhaseStarted(name=_("keeping the checkpoint"))
    with counting(100, "%"):
        reading, keeping = split(1, 1)
        with reading:
            tensors, facts = checkpoints.load(at["checkpoint"])
        with keeping, committed(folder / "output") as output:
            policy = saved_policy(at, config, tensors, output)
            policy.save(output)
            save_aim(config.alignment, facts, output)
    yield Finished(summary={"steps": facts["step"], "parameters": size_of(policy.model)})


def saved_policy(
    at: Mapping[str, Path], config: CheckpointConfig, tensors: Mapping[str, Tensor], output: Path
) -> Policy:
    """The policy of a checkpoint, with the adapter merged that it may hold and that is kept below `output` where asked."""
    if not config.lora_rank:
        return Policy.load(at["checkpoint"] / checkpoints.POLICY)
    policy, adapter = adapted(Policy.load(at["policy"]), config.lora_rank, 0, config)
    weights = checkpoints.below(f"adapter/{checkpoints.POLICY}", tensors)
    if weights.keys() != trained(policy.model).keys():
        raise CheckpointError(
            _("The adapter of the checkpoint is beside other layers than the start model has.")
        )
    load_trained(policy.model, weights)
    if config.keep_adapter:
        kept_adapter(adapter).save(output)
    return merged(policy, adapter)


def save_aim(config: AlignConfig, facts: Mapping[str, Any], output: Path) -> None:
    """What it was aimed at, and the receipts of that, with how far sampler and scorer were apart so far."""
    save_target(config, [row["lambda"] for row in facts["fit"].get("wishes", [])], output)
    apart = max(facts["mismatch"].values())
    receipts(config).model_copy(update={"mismatch": apart}).store(output)
