"""Optimizer steps over examples that are there already, whatever their loss is."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from alignment.kinds.classify.settings import ClassifyConfig
from alignment.kinds.distil.settings import DistilConfig
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.models import checkpoints
from alignment.models.batches import similar_lengths
from alignment.models.computation import set_up
from alignment.models.distributed import all_sums, clip, world
from alignment.models.gradients import adamw, exchange
from alignment.models.loading import open_model
from alignment.models.lora import adapted, load_trained, merged, trained
from alignment.models.lowrank import is_compared
from alignment.models.policies import Policy
from alignment.models.schedules import share_of_peak
from alignment.models.sharding import SHARDING, is_spread, load_whole, spread
from alignment.models.stepping import Loop, check_finite, steps
from alignment.models.texts import Written, rollouts_of
from alignment.models.uses import Use
from alignment.sampling.scoring import budget, completion_token_logps, packed
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event, PhaseStarted, Ready
from alignment.seam.progress import through
from alignment.seam.variables import EngineVariables, read
from alignment.seam.words import _

Progress = Generator[Event, str | None, None]
Training = Generator[Event, str | None, str | None]
# What is added to loss and metrics, part after part; each part's gradient is taken before the next.
Parts = Iterator[tuple[Tensor, dict[str, float]]]
StepLoss = Callable[[Sequence[int]], Parts]  # of our rows

SCORED_AT_ONCE = 64  # completions
WARMUP = 0.1  # share of the steps


FitConfig = PreferConfig | SftConfig | ClassifyConfig
TrainConfig = FitConfig | DistilConfig
AdaptedConfig = PreferConfig | SftConfig | DistilConfig | RewardConfig


class Learner(Protocol):
    """Whatever is fitted: its weights, and how a checkpoint keeps them and gives them back."""

    @property
    def model(self) -> PreTrainedModel:
        """What learns."""

    def kept(self) -> tuple[Mapping[str, checkpoints.Saved], dict[str, Tensor]]:
        """What saves itself into a folder of a checkpoint, and tensors."""

    def restore(self, checkpoint: Path, tensors: Mapping[str, Tensor]) -> None:
        """Give the weights the values of a checkpoint."""


@dataclass(frozen=True)
class Trainee:
    """A policy, or an encoder, that learns, and with LoRA the handle of its adapter."""

    policy: Policy
    adapter: PeftModel | None
    use: Use = "policy"  # of what is trained

    @classmethod
    def of(cls, policy: Policy, config: AdaptedConfig, seed: int, use: Use = "policy") -> "Trainee":
        """A loaded policy, or what is read by without writing, computing as the settings say; raises ConfigError where it cannot."""
        if config.lora_rank and world().size > 1 and read(EngineVariables).sharding:
            raise ConfigError(
                _("An adapter needs a whole model in every process; unset {sharding}.").format(
                    sharding=SHARDING
                )
            )
        adapter = None
        if config.lora_rank:
            policy, adapter = adapted(policy, config.lora_rank, seed)
        set_up(policy, config, backward=True)
        if adapter is None:
            spread(policy.model)
        return cls(policy, adapter, use)

    @property
    def model(self) -> PreTrainedModel:
        """What learns."""
        return self.policy.model

    def kept(self) -> tuple[Mapping[str, checkpoints.Saved], dict[str, Tensor]]:
        """The policy, or its adapter alone where it has one."""
        if self.adapter is None:
            return {checkpoints.POLICY: self.policy}, {}
        return {}, checkpoints.named("adapter", trained(self.model))

    def restore(self, checkpoint: Path, tensors: Mapping[str, Tensor]) -> None:
        """Give the weights the values of a checkpoint."""
        if self.adapter is None:
            whole = open_model(checkpoint / checkpoints.POLICY, self.use).model.state_dict()
            load_whole(self.model, whole)
        else:
            load_trained(self.model, checkpoints.below("adapter", tensors))

    @property
    def result(self) -> Policy:
        """The policy with its adapter merged into its weights, where it has one; the last thing to ask for."""
        return self.policy if self.adapter is None else merged(self.policy, self.adapter)


@dataclass(frozen=True)
class Run:
    """Where a run is computed, and from which of its checkpoints it goes on."""

    folder: Path
    resume: Path | None

    @classmethod
    def of(cls, spec: RunSpec, folder: Path) -> "Run":
        """The run of a folder."""
        return cls(folder, folder / spec.resume_from if spec.resume_from else None)


def ready(policy: Policy, count: int, config: FitConfig, run: Run) -> Ready:
    """The first event, with the steps to come."""
    return ready_for(policy, config.epochs * math.ceil(count / config.batch), run)


def ready_for(policy: Policy, steps: int, run: Run) -> Ready:
    """The same of so many steps."""
    return ready_on(policy.device, steps, run)


def ready_on(device: torch.device, steps: int, run: Run) -> Ready:
    """The same on a device, before anything is loaded there."""
    known = checkpoints.facts_of(run.resume) if run.resume else {}
    return Ready(
        total_steps=steps,
        threads=torch.get_num_threads(),
        device=str(device),
        resumed_step=known.get("step", 0),
        bit_exact=not known or known["machine"] == checkpoints.machine(),
    )


def fit(
    one: Learner,
    config: FitConfig,
    lengths: Sequence[int],
    loss_of: StepLoss,
    run: Run,
) -> Training:
    """Epochs of optimizer steps over batches of examples of similar length; "save" if that was asked.

    Uses torch's RNG for the batches alone, so that a resumed run finds its place by drawing them again.
    """
    total = config.epochs * math.ceil(len(lengths) / config.batch)
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    at = by_step(batch for epoch in epochs for batch in epoch)
    return (yield from train_on(one, config, Lessons(total, lambda step: loss_of(at(step))), run))


@dataclass(frozen=True)
class Lessons:
    """Of how many steps a training is, and what each, counted from 1, adds to loss and metrics."""

    total: int
    loss: Callable[[int], Parts]
    after: int = 0  # steps of what follows in the same run


def by_step(batches: Iterator[Sequence[int]]) -> Callable[[int], Sequence[int]]:
    """The batch of a step, where steps are asked for in their order; those before the first are passed over."""
    numbered = enumerate(batches, 1)
    return lambda step: next(batch for number, batch in numbered if number == step)


def train_on(one: Learner, config: TrainConfig, lessons: Lessons, run: Run) -> Training:
    """Optimizer steps, from a checkpoint on where there is one; "save" if that was asked."""
    yield PhaseStarted(name=_("training"))
    model = one.model
    weights = list(trained(model).values())
    optimizer = adamw(weights, config, lr=config.learning_rate, weight_decay=0.0)
    done = _restore(one, optimizer, run.resume) if run.resume else 0

    def take(step: int) -> dict[str, float]:
        started = time.perf_counter()
        rate = config.learning_rate * schedule(step - 1, lessons.total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        metrics = backward(lessons.loss(step))
        told = exchange(optimizer)
        norm = clip(model.parameters(), 1.0)
        metrics = all_sums(metrics)
        check_finite(step, metrics["loss"], norm)
        optimizer.step()
        return (
            metrics
            | told
            | {
                "grad/norm": norm,
                "lr": rate,
                "seconds/step": time.perf_counter() - started,
            }
        )

    def save(step: int) -> Event:
        return _save(one, optimizer, step, run.folder)

    total = lessons.total + lessons.after
    loop = Loop(total, take, save, config.checkpoint_every, last=lessons.total)
    return (yield from steps(loop, done))


def backward(parts: Parts) -> dict[str, float]:
    """Take the gradient of every part of a batch's loss; their sums, and the loss among them."""
    sums: dict[str, float] = {}
    for loss, metrics in parts:
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        for name, value in {**metrics, "loss": loss.item()}.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def in_parts(policy: Policy, lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of rows of similar length, each group what one forward takes; of a model in parts all at once.

    Where two halves of a batch are compared, there is an even number of groups, of one half and the other in turn.
    """
    if is_spread(policy.model):
        yield list(range(len(lengths)))
    elif is_compared(policy.model) and len(lengths) > 1:
        yield from halved(lengths, budget(policy.device))
    else:
        yield from packed(lengths, budget(policy.device))


def halved(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Groups of the rows at even and at odd places, one of each in turn while both have some."""
    sides = [range(start, len(lengths), 2) for start in (0, 1)]
    packs = [
        [[side[place] for place in group] for group in packed([lengths[p] for p in side], most)]
        for side in sides
    ]
    for groups in zip_longest(*packs, fillvalue=[]):
        yield from (group for group in groups if group)


def _save(one: Learner, optimizer: torch.optim.Optimizer, step: int, folder: Path) -> Event:
    """Commit a checkpoint below the run folder."""
    folders, weights = one.kept()
    moments = checkpoints.named("optimizer", checkpoints.optimizer_tensors(optimizer))
    return checkpoints.save(folder, step, folders, moments | weights, {})


def _restore(one: Learner, optimizer: torch.optim.Optimizer, checkpoint: Path) -> int:
    """Give weights and moments the values of a checkpoint; how many steps were done."""
    tensors, facts = checkpoints.load(checkpoint)
    one.restore(checkpoint, tensors)
    checkpoints.restore_optimizer(optimizer, checkpoints.below("optimizer", tensors))
    return int(facts["step"])


def schedule(step: int, total: int) -> float:
    """Warm-up, then down to zero, as a share of the peak; steps count from 0."""
    warmup = max(1, round(WARMUP * total))
    return share_of_peak(step, total, rising=warmup, falling=max(1, total - warmup + 1))


@torch.no_grad()
def scored(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(n,) log-probabilities of completions, summed over tokens."""
    starts = range(0, len(rows), SCORED_AT_ONCE)
    parts = [rows[start : start + SCORED_AT_ONCE] for start in starts]
    found = [
        completion_token_logps(policy.model, rollouts_of(policy, some)).sum(1)
        for some in through(parts, len(parts))
    ]
    return torch.cat(found).cpu()
