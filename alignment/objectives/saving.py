"""A run's state in a checkpoint, and out of it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from alignment.maths.bandits import Bandit
from alignment.maths.estimators import ZCache
from alignment.models import checkpoints
from alignment.models.bounds import TrainingProgress
from alignment.models.lora import load_trained, trained
from alignment.models.policies import Policy
from alignment.models.sharding import full, parted_like
from alignment.objectives import replay
from alignment.objectives.problem import (
    Kept,
    Known,
    Problem,
    State,
    adam,
    fully_tuned,
    starting_policy,
    value_head,
)
from alignment.objectives.signal import Noise
from alignment.seam.events import Event
from alignment.seam.records import Estimate


def save(state: State, folder: Path) -> Event:
    """Commit a checkpoint of the state below the run folder."""
    return save_all({checkpoints.POLICY: state}, folder)


def save_all(states: Mapping[str, State], folder: Path) -> Event:
    """Commit one checkpoint of states that share all but their policies and optimizers."""
    shared = next(iter(states.values()))
    tensors = {
        "generator": shared.known.generator.get_state(),
        **checkpoints.named("seen", shared.known.seen),
    }
    for name, state in states.items():
        tensors |= _tensors_of(name, state)
    facts: dict[str, Any] = {
        "z": shared.known.z.state_dict(),
        "reference_rewards": shared.known.reference_rewards,
        "over_budget": {name: state.over_budget for name, state in states.items()},
        "mismatch": {name: state.mismatch for name, state in states.items()},
        "noise": {name: state.noise.energy for name, state in states.items()},
        "tail": {name: state.noise.tail for name, state in states.items()},
        "taught": {name: state.taught for name, state in states.items()},
        "replay": {name: [kept.places for kept in state.replay] for name, state in states.items()},
        "progress": {name: state.progress.stored()[1] for name, state in states.items()},
        "held_z": shared.known.held_z.state_dict(),
        "fit": shared.known.fit,
        "bandit": shared.known.bandit.facts,
        "start": shared.start.model_dump() if shared.start else None,
    }
    policies = {name: state.policy for name, state in states.items() if state.adapter is None}
    return checkpoints.save(folder, shared.step, policies, tensors, facts)


def _tensors_of(name: str, state: State) -> dict[str, Tensor]:
    """What a policy of this name has for itself."""
    optimizer = checkpoints.optimizer_tensors(state.optimizer)
    tensors = checkpoints.named(f"optimizer/{name}", optimizer)
    measured = {key: full(tensor) for key, tensor in state.measured.items()}
    tensors |= checkpoints.named(f"measured/{name}", measured)
    tensors |= checkpoints.named(f"progress/{name}", state.progress.stored()[0])
    if state.adapter is not None:
        tensors |= checkpoints.named(f"adapter/{name}", trained(state.policy.model))
    if state.value_head is not None:
        tensors |= checkpoints.named(f"value_head/{name}", state.value_head.state_dict())
    for number, kept in enumerate(state.replay):
        tensors |= checkpoints.named(f"replay/{name}/{number}", replay.tensors_of(kept.scored))
    return tensors


def restored_policy(
    problem: Problem, folder: Path, tensors: Mapping[str, Tensor]
) -> tuple[Policy, PeftModel | None]:
    """The policy of a checkpoint: whole, or what it started from with its adapter."""
    if not problem.config.lora_rank:
        return fully_tuned(Policy.load(folder), problem.config), None
    policy, adapter = starting_policy(problem)
    load_trained(policy.model, checkpoints.below(f"adapter/{folder.name}", tensors))
    return policy, adapter


def restore(problem: Problem, checkpoint: Path) -> tuple[State, bool]:
    """The state of a checkpoint, and whether this machine will continue it bit by bit."""
    states, bit_exact = restore_all({checkpoints.POLICY: problem}, checkpoint)
    return states[checkpoints.POLICY], bit_exact


def restore_all(problems: Mapping[str, Problem], checkpoint: Path) -> tuple[dict[str, State], bool]:
    """The states that `save_all` saved, by name; what they shared they share again."""
    tensors, facts = checkpoints.load(checkpoint)
    generator = torch.Generator()
    generator.set_state(tensors["generator"])
    start = Estimate.model_validate(facts["start"]) if facts.get("start") else None
    known = Known(
        generator,
        ZCache(facts["z"]),
        facts["reference_rewards"],
        seen=checkpoints.below("seen", tensors),
        fit=facts["fit"],
        bandit=Bandit.restored(facts["bandit"]) if "bandit" in facts else Bandit(),
        held_z=ZCache(facts.get("held_z")),
    )
    states = {}
    for name, problem in problems.items():
        policy, adapter = restored_policy(problem, checkpoint / name, tensors)
        head = value_head(problem, policy)
        if head is not None:
            head.load_state_dict(checkpoints.below(f"value_head/{name}", tensors))
        optimizer = adam(policy, head, problem.config)
        checkpoints.restore_optimizer(optimizer, checkpoints.below(f"optimizer/{name}", tensors))
        measured = checkpoints.below(f"measured/{name}", tensors)
        weights = trained(policy.model)
        states[name] = State(
            policy,
            optimizer,
            known,
            step=facts["step"],
            over_budget=facts["over_budget"][name],
            mismatch=facts["mismatch"][name],
            noise=Noise(*(facts.get(key, {}).get(name, 0.0) for key in ("noise", "tail"))),
            taught=facts.get("taught", {}).get(name, facts["step"]),  # nor counted this
            measured={
                key: parted_like(weights[key], tensor.to(policy.device))
                for key, tensor in measured.items()
            },
            progress=_progress_of(name, policy, tensors, facts),
            start=start,
            value_head=head,
            adapter=adapter,
            replay=_replay_of(name, problem, tensors, facts),
        )
    return states, facts["machine"] == checkpoints.machine()


def _progress_of(
    name: str, policy: Policy, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> TrainingProgress:
    """How far a policy of this name has learned; earlier versions looked at nothing, and first counted no time."""
    before = {what: facts.get(what, {}).get(name, 0) for what in ("seconds", "tokens")}
    found = facts["progress"][name] if "progress" in facts else before
    progress = TrainingProgress()
    kept = checkpoints.below(f"progress/{name}", tensors)
    progress.restore(kept, {**found, "step": facts["step"]}, policy.model)
    return progress


def _replay_of(
    name: str, problem: Problem, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> list[Kept]:
    """The completions of earlier steps that a policy of this name may be shown again."""
    each = enumerate(facts["replay"][name])
    named = ((places, f"replay/{name}/{number}") for number, places in each)
    return [replay.restored(problem, p, checkpoints.below(key, tensors)) for p, key in named]
