"""Optimizer steps over examples that are there already, whatever their loss is."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Protocol

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from alignment.kinds.classify.settings import ClassifyConfig
from alignment.kinds.distil.settings import DistilConfig
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.settings.adapters import KeptAdapterSettings
from alignment.kinds.settings.schedule import CourseSettings, RateSettings
from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.models import checkpoints
from alignment.models.batches import similar_lengths
from alignment.models.bounds import HeldOut, TrainingProgress
from alignment.models.computation import set_up
from alignment.models.distributed import all_max, all_sums, clip, world
from alignment.models.gradients import Part, adamw, exchange, grouped
from alignment.models.loading import open_model
from alignment.models.lora import (
    KeptAdapter,
    adapted,
    dropping,
    kept_adapter,
    load_trained,
    merged,
    trained,
)
from alignment.models.lowrank import is_compared
from alignment.models.policies import Policy
from alignment.models.schedules import Shape, share_of_peak
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
Read = Callable[[Policy, Sequence[Written]], Tensor]  # (n, length) log-probabilities

SCORED_AT_ONCE = 64  # completions
PRIME = 1_000_003  # seeds of neighbouring runs share no step's dropout


FitConfig = PreferConfig | SftConfig | ClassifyConfig | RewardConfig
TrainConfig = FitConfig | DistilConfig
AdaptedConfig = PreferConfig | SftConfig | DistilConfig | RewardConfig


class Learner(Protocol):
    """Whatever is fitted: its weights, and how a checkpoint keeps them and gives them back."""

    @property
    def model(self) -> nn.Module:
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
            policy, adapter = adapted(policy, config.lora_rank, seed, config)
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

    def save(self, folder: Path, config: KeptAdapterSettings) -> None:
        """Write the whole policy, and its adapter by itself where it is to be kept; the last thing to ask for."""
        if (adapter := self.kept_adapter(config)) is not None:
            adapter.save(folder)
        self.result.save(folder)

    def kept_adapter(self, config: KeptAdapterSettings) -> KeptAdapter | None:
        """Its adapter by itself, where it has one that is to be kept; before `result` is asked for."""
        if self.adapter is None or not config.keep_adapter:
            return None
        return kept_adapter(self.adapter)

    @property
    def result(self) -> Policy:
        """The policy with its adapter merged into its weights, where it has one; the last thing to ask for."""
        return self.policy if self.adapter is None else merged(self.policy, self.adapter)


@dataclass(frozen=True)
class Run:
    """Where a run is computed, and from which of its checkpoints it goes on; without a folder nothing is saved."""

    folder: Path | None
    resume: Path | None = None
    seed: int = 0

    @classmethod
    def of(cls, spec: RunSpec, folder: Path) -> "Run":
        """The run of a folder."""
        return cls(folder, folder / spec.resume_from if spec.resume_from else None, spec.seed)


def ready(policy: Policy, count: int, config: FitConfig, run: Run) -> Ready:
    """The first event, with the steps to come."""
    return ready_for(policy, steps_of(config, count), run)


def steps_of(config: FitConfig, count: int) -> int:
    """How many steps a fit to so many examples takes."""
    return config.epochs * math.ceil(count / config.batch)


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


@dataclass(frozen=True)
class TrainingSet:
    """Examples that are learned from, what a batch of them adds to the loss, and how far that has come."""

    lengths: Sequence[int]  # by which those of a batch are alike
    loss: StepLoss
    tokens: Sequence[int] = ()  # of each, where its length is not that
    progress: TrainingProgress = field(default_factory=TrainingProgress)


def fit(
    one: Learner, config: FitConfig, data: TrainingSet, run: Run, held: HeldOut | None = None
) -> Training:
    """Epochs of optimizer steps over batches of examples of similar length; "save" if that was asked."""
    return (yield from train_on(one, config, replace(lessons_of(data, config), held=held), run))


def lessons_of(data: TrainingSet, config: FitConfig) -> "Lessons":
    """Epochs of steps over batches of examples of similar length.

    Uses torch's RNG for the batches alone, so that a resumed run finds its place by drawing them again.
    """
    epochs = (similar_lengths(data.lengths, config.batch) for _ in range(config.epochs))
    at, tokens = by_step(batch for epoch in epochs for batch in epoch), data.tokens or data.lengths

    def loss(step: int) -> Parts:
        batch = at(step)
        data.progress.tokens += sum(tokens[place] for place in batch)
        return data.loss(batch)

    return Lessons(steps_of(config, len(data.lengths)), loss, progress=data.progress)


@dataclass(frozen=True)
class Lessons:
    """Of how many steps a training is, and what each, counted from 1, adds to loss and metrics."""

    total: int
    loss: Callable[[int], Parts]
    after: int = 0  # steps of what follows in the same run
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    held: HeldOut | None = None
    parts: Sequence[Part] = ()  # of what learns, where not all of it has one rate
    damaged: str = ""  # what a first loss that is no number says of the model


def by_step(batches: Iterator[Sequence[int]]) -> Callable[[int], Sequence[int]]:
    """The batch of a step, where steps are asked for in their order; those before the first are passed over."""
    numbered = enumerate(batches, 1)
    return lambda step: next(batch for number, batch in numbered if number == step)


def train_on(one: Learner, config: TrainConfig, lessons: Lessons, run: Run) -> Training:
    """Optimizer steps, from a checkpoint on where there is one; "save" if that was asked."""
    yield PhaseStarted(name=_("training"))
    optimizer, progress, held = (
        _optimizer(one.model, config, lessons),
        lessons.progress,
        lessons.held,
    )
    folder, device = run.folder, next(one.model.parameters()).device
    done = _restore(one, optimizer, progress, run.resume) if run.resume else 0

    def take(step: int) -> dict[str, float]:
        started = time.perf_counter()
        share = share_now(config, progress, step, lessons.total)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
        parts = lessons.loss(step)  # which may draw a batch
        with dropping(one.model, PRIME * run.seed + step):
            told = _descend(optimizer, parts, step, lessons.damaged)
        told["seconds/step"], progress.steps = time.perf_counter() - started, step
        if held is not None and held.is_due(step, lessons.total):
            told |= progress.look(held, one.model, step)
        progress.seconds += longest_of(time.perf_counter() - started, device)
        return told

    loop = Loop(
        lessons.total + lessons.after,
        take,
        save=None if folder is None else partial(_save, one, optimizer, progress, folder),
        every=config.checkpoint_every,
        over=lambda: bool(progress.ended_by(config, held)),
        last=lessons.total,
        keeps_end=isinstance(config, CourseSettings) and config.keep_end,
    )
    if (asked := (yield from steps(loop, done))) != "save":
        progress.finish(progress.ended_by(config, held), one.model)
    return asked


def _descend(
    optimizer: torch.optim.Optimizer, parts: Parts, step: int, damaged: str
) -> dict[str, float]:
    """One optimizer step by the gradient of a loss; its metrics. Raises DivergedError."""
    optimizer.zero_grad()
    metrics = backward(parts)
    told = exchange(optimizer)
    groups = [group["params"] for group in optimizer.param_groups if group["clipped"]]
    norm = clip(chain.from_iterable(groups), 1.0)
    metrics = all_sums(metrics)
    check_finite(step, metrics["loss"], norm, damaged)
    optimizer.step()
    return metrics | told | {"grad/norm": norm, "lr": float(optimizer.param_groups[0]["lr"])}


def share_now(config: TrainConfig, progress: TrainingProgress, step: int, total: int) -> float:
    """The share of their peaks that rates have at a step, counted from 1: the nearest bound says how far it is."""
    at = max(step - 1, int(total * progress.spent(config)))
    return share_at(config, min(at, total - 1), total)


def share_at(config: RateSettings, step: int, total: int) -> float:
    """The share of its peak that a learning rate has at a step, counted from 0."""
    rising = max(1, round(config.warmup_share * total))
    falling = 0 if config.schedule == "constant" else max(1, total - rising + 1)
    shape: Shape = "cosine" if config.schedule == "cosine" else "linear"
    return share_of_peak(step, total, rising=rising, falling=falling, shape=shape)


def longest_of(seconds: float, device: torch.device) -> float:
    """What the slowest process took: all have to agree on when the time is spent."""
    return all_max(torch.tensor(seconds, dtype=torch.float64, device=device)).item()


def _optimizer(model: nn.Module, config: TrainConfig, lessons: Lessons) -> torch.optim.AdamW:
    """AdamW over what learns; matrices decay where that was asked for."""
    all_of_it = Part(list(trained(model).values()), config.learning_rate, config.weight_decay)
    groups = grouped(lessons.parts or [all_of_it])
    return adamw(groups, config, lr=config.learning_rate, weight_decay=0.0)


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


def _save(
    one: Learner,
    optimizer: torch.optim.Optimizer,
    progress: TrainingProgress,
    folder: Path,
    step: int,
) -> Event:
    """Commit a checkpoint below the run folder."""
    folders, weights = one.kept()
    moments = checkpoints.named("optimizer", checkpoints.optimizer_tensors(optimizer))
    best, facts = progress.stored()
    return checkpoints.save(folder, step, folders, moments | weights | best, facts)


def _restore(
    one: Learner, optimizer: torch.optim.Optimizer, progress: TrainingProgress, checkpoint: Path
) -> int:
    """Give weights, moments and progress the values of a checkpoint; how many steps were done."""
    tensors, facts = checkpoints.load(checkpoint)
    one.restore(checkpoint, tensors)
    moments = checkpoints.below("optimizer", tensors)
    if "seconds" not in facts:  # of a version that numbered weights as the model has them
        moments = checkpoints.renumbered(moments, optimizer, list(trained(one.model).values()))
    checkpoints.restore_optimizer(optimizer, moments)
    progress.restore(tensors, facts, one.model)
    return int(facts["step"])


def _read(policy: Policy, rows: Sequence[Written]) -> Tensor:
    return completion_token_logps(policy.model, rollouts_of(policy, rows))


@torch.no_grad()
def scored(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(n,) log-probabilities of completions, summed over tokens."""
    if not rows:
        return torch.zeros(0)
    starts = range(0, len(rows), SCORED_AT_ONCE)
    parts = [rows[start : start + SCORED_AT_ONCE] for start in starts]
    found = [learned_logps(policy, some).sum(1) for some in through(parts, len(parts))]
    return torch.cat(found).cpu()


def learned_logps(policy: Policy, rows: Sequence[Written], read: Read | None = None) -> Tensor:
    """(n, length) log-probabilities of the completions' tokens that are learned, 0 elsewhere.

    `read` gives those of all tokens, where it is not done row by row.
    """
    logps = (read or _read)(policy, rows)
    if not any(row.counted for row in rows):
        return logps
    counts = torch.ones_like(logps)
    for place, row in enumerate(rows):
        if row.counted:
            counts[place, : len(row.counted)] = counts.new_tensor(row.counted)
    return logps * counts
