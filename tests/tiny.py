"""A tiny model's way from a corpus to an alignment, by the real trainer."""

from pathlib import Path

import torch

from alignment.reward.model import RewardModel
from alignment.seam.folders import committed, file_sha256
from tests.alignment.conftest import tiny_policy
from tests.factories import a_run, again
from tests.stack import Stack
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import store
from webapp.projects.models import Project
from webapp.runs.models import Run

TINY = {"documents": 100, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "steps": 3}
SHORT = {"max_new_tokens": 4, "completions_per_prompt": 2}
LONG = {"warmup": 0, "kl_budget": 1000.0, "sample_every": 50}
ALIGN = SHORT | LONG | {"prompts": 8, "prompts_per_step": 4, "reference_completions": 2}


def ended(machine: Stack, run: Run, state: str = "succeeded") -> Run:
    """The run once it is over, which it should be in this state."""
    machine.until(lambda: again(run).is_final)
    assert again(run).state == state, f"{again(run).message}\n{machine.logs()}"
    return again(run)


def prepared(machine: Stack, lab: Project, labels: Artifact) -> dict[str, Artifact]:
    """A tiny policy and a reward model for it, as inputs of what comes next."""
    starter = ended(machine, a_run(lab, "pretrain", TINY))
    policy = starter.outputs.get()
    inputs = {"backbone": policy, "labels": labels}
    reward = ended(machine, a_run(lab, "reward", {"epochs": 1}, inputs=inputs))
    return {"policy": policy, "reference": policy, "reward": reward.outputs.get()}


def stored_models(lab: Project, folder: Path) -> dict[str, Artifact]:
    """The same without training: random weights, for tests that need any model."""
    with committed(folder / "policy") as aside:
        tiny_policy().save(aside)
    reward = RewardModel.fresh(folder / "policy")
    torch.nn.init.normal_(reward.head.weight)
    with committed(folder / "reward") as aside:
        reward.save(aside)
    policy, reward = (
        store(folder / name, project=lab, type=kind, name=name)
        for name, kind in (("policy", Artifact.Type.MODEL), ("reward", Artifact.Type.REWARD))
    )
    return {"policy": policy, "reference": policy, "reward": reward}


def weights(run: Run) -> str:
    """SHA-256 of the model that the run made."""
    return file_sha256(run.outputs.get().path / "model.safetensors")
