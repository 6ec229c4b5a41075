"""Optimizer steps over examples that are there already, whatever their loss is."""

import math
import time
from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from alignment.batches import similar_lengths
from alignment.config import PreferConfig, SftConfig
from alignment.distributed import all_sums, clip, reduce_gradients
from alignment.errors import DivergedError
from alignment.events import Event, PhaseStarted, Ready, StepDone
from alignment.policies import Policy
from alignment.scoring import completion_token_logps
from alignment.sharding import spread
from alignment.texts import Written, rollouts_of

Progress = Generator[Event, str | None, None]
StepLoss = Callable[[Sequence[int]], tuple[Tensor, dict[str, float]]]  # what our rows add to both

SCORED_AT_ONCE = 64  # completions
WARMUP = 0.1  # share of the steps


def ready(policy: Policy, count: int, config: PreferConfig | SftConfig) -> Ready:
    """The first event, with the steps to come."""
    total = config.epochs * math.ceil(count / config.batch)
    return Ready(total_steps=total, threads=torch.get_num_threads(), device=str(policy.device))


def fit(
    policy: Policy, config: PreferConfig | SftConfig, lengths: Sequence[int], loss_of: StepLoss
) -> Progress:
    """Epochs of optimizer steps over batches of examples of similar length."""
    yield PhaseStarted(name="training")
    spread(policy.model)
    optimizer = torch.optim.AdamW(
        policy.model.parameters(), lr=config.learning_rate, weight_decay=0.0
    )
    total = config.epochs * math.ceil(len(lengths) / config.batch)
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    for step, batch in enumerate((batch for epoch in epochs for batch in epoch), start=1):
        started = time.perf_counter()
        rate = config.learning_rate * schedule(step, total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, metrics = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        reduce_gradients([policy.model.parameters()])
        norm = clip(policy.model.parameters(), 1.0)
        metrics = all_sums({**metrics, "loss": loss.item()})
        if not (math.isfinite(norm) and math.isfinite(metrics["loss"])):
            raise DivergedError(
                f"The loss was {metrics['loss']} at step {step}; try a lower learning rate."
            )
        optimizer.step()
        metrics |= {"grad/norm": norm, "lr": rate, "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)


def schedule(step: int, total: int) -> float:
    """Warm-up, then down to zero, as a share of the peak; steps count from 1."""
    warmup = max(1, round(WARMUP * total))
    return min(step / warmup, (total - step + 1) / max(1, total - warmup + 1))


@torch.no_grad()
def scored(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(n,) log-probabilities of completions, summed over tokens."""
    starts = range(0, len(rows), SCORED_AT_ONCE)
    parts = [rows[start : start + SCORED_AT_ONCE] for start in starts]
    found = [completion_token_logps(policy.model, rollouts_of(policy, p)).sum(1) for p in parts]
    return torch.cat(found).cpu()
