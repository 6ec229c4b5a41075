"""Fitting a reward model to pairs by Bradley and Terry's model."""

import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from alignment.batches import similar_lengths
from alignment.config import RewardConfig, RunSpec
from alignment.errors import DivergedError
from alignment.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.folders import committed
from alignment.records import PairRecord, read_jsonl
from alignment.reward.examples import Example, examples_of, margins
from alignment.reward.labels import contradicted, divided, usable
from alignment.reward.measures import measures, standardised
from alignment.reward.model import RewardModel

WARMUP = 0.1  # share of the steps
HEAD_RATE = 10  # of the trunk's: the head starts at zero and has to move first


def train(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Fit a reward model to `pairs` from `backbone`; writes `folder/output`."""
    config = RewardConfig.model_validate(spec.config)
    torch.manual_seed(spec.seed)
    pairs = usable(read_jsonl(folder / spec.inputs["pairs"], PairRecord))
    fitted, held = divided(pairs, config.held_out)
    model = RewardModel.fresh(folder / spec.inputs["backbone"])
    total = config.epochs * math.ceil(len(fitted) / config.batch)
    device = str(model.trunk.device)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=device)
    examples, judged = examples_of(model, fitted), examples_of(model, held)
    yield PhaseStarted(name="training")
    yield from _fit(model, config, examples, total)
    yield PhaseStarted(name="measuring")
    model = standardised(model, examples)
    summary = {
        **measures(model, judged),
        "pairs_train": len(fitted),
        "pairs_heldout": len(held),
        "prompts_heldout": len({pair.prompt.key for pair in held}),
        "pairs_contradicted": contradicted(pairs),
        "pairs_cut": sum(example.cut for example in examples + judged),
        "center": model.center,
        "scale": model.scale,
    }
    with committed(folder / "output") as output:
        model.save(output)
    yield Finished(summary=summary)


def _fit(
    model: RewardModel, config: RewardConfig, examples: Sequence[Example], total: int
) -> Generator[Event, str | None, None]:
    groups = [
        {"params": list(model.trunk.model.parameters()), "lr": config.learning_rate},
        {"params": list(model.head.parameters()), "lr": HEAD_RATE * config.learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _linear(step, total))
    lengths = [example.length for example in examples]
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    batches = (batch for epoch in epochs for batch in epoch)
    for step, batch in enumerate(batches, start=1):
        started = time.perf_counter()
        rate = float(schedule.get_last_lr()[0])
        metrics = _step(model, optimizer, [examples[i] for i in batch])
        schedule.step()
        if not math.isfinite(metrics["loss"]):
            raise DivergedError(
                f"The loss was {metrics['loss']} at step {step}; try a lower learning rate."
            )
        metrics |= {"lr": rate, "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)


def _linear(step: int, total: int) -> float:
    """Warm-up, then down to zero, as a share of the peak."""
    warmup = max(1, round(WARMUP * total))
    return min((step + 1) / warmup, (total - step) / max(1, total - warmup))


def _step(
    model: RewardModel, optimizer: torch.optim.Optimizer, batch: Sequence[Example]
) -> dict[str, float]:
    differences = margins(model, batch)
    loss = -F.logsigmoid(differences).mean()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    accuracy = (differences.detach() > 0).float().mean().item()
    value = loss.item()
    return {"loss": value, "preference/accuracy": accuracy, "preference/nll": value}
