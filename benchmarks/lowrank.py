"""`python -m benchmarks.lowrank`: low-rank gradients against whole ones, as one JSON object.

A starter model learns the polite ones of its grammar's answers by AdamW, with whole gradients and with low-rank ones of
rank width / 8, at equal steps and rates and over several seeds: the loss of held-out answers, the optimizer's bytes, and
what the projector captures of the mean gradient of the last ten steps beside the best of its rank: after the steps that
end a window, by whose gradients it is what it is, and after every step. The same is told of a model that starts with random
weights. Two gloo processes count what they send each other over a window: whole gradients, low-rank ones, and torch's
PowerSGD hook at the same rank.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
from torch.nn.parallel import DistributedDataParallel
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from alignment.kinds.pretrain.settings import Dimensions
from alignment.maths.estimators import estimate
from alignment.models.distributed import reduce_gradients
from alignment.models.lowrank import EVERY, LowRankAdamW, lying
from alignment.pretraining import starter
from alignment.pretraining.architectures import new_causal
from alignment.world import grammar

CONTEXT, VOCABULARY, BATCH, LAST = 128, 512, 16, 10
HELD = 128  # documents
RATE, BETAS = 2e-3, (0.9, 0.95)
BARS = {"bytes": 0.3, "loss": 1.02, "energy": 0.95}


@dataclass
class World:
    """What all trainings share."""

    size: Dimensions
    tokenizer: PreTrainedTokenizerFast
    pretraining: list[starter.Document]
    polite: list[starter.Document]
    base: dict[str, Tensor] = field(default_factory=dict)

    def model(self, *, fresh: bool) -> GPT2LMHeadModel:
        """A model with the base's weights, or random ones."""
        model = new_causal(self.size, CONTEXT, self.tokenizer).eval()
        if not fresh:
            model.load_state_dict(self.base)
        return model


def world_of(width: int, documents: int) -> World:
    """Documents of the grammar, and those of them in its polite tone."""
    corpus = list(grammar.documents(0, documents))
    texts = [text for messages, answer in corpus for text in (messages[-1].content, answer)]
    tokenizer = starter.build_tokenizer(texts, VOCABULARY)
    read = [starter._document(tokenizer, turns[-1].content, answer) for turns, answer in corpus]
    read = [starter.Document(one.ids[:CONTEXT], one.prompt) for one in read]
    polite = [one for one, (_, answer) in zip(read, corpus, strict=True) if is_polite(answer)]
    return World(Dimensions(2, width, 4), tokenizer, read, polite)


def is_polite(answer: str) -> bool:
    """Whether the grammar wrote it in this tone: by how it leads into its advice."""
    leads = (lead.partition("{")[0] for lead in grammar.TONES["polite"].leads)
    return any(lead in answer for lead in leads)


def pretrain(world: World, steps: int) -> None:
    """Give the world its base."""
    torch.manual_seed(0)
    model = world.model(fresh=True)
    optimizers = starter.optimizers_of(model, 0.02)
    batches = starter._batches(world.pretraining, 2 * BATCH)
    for step in range(steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * starter._cosine(step, steps)
        starter._step(model, optimizers, next(batches))
    world.base = model.state_dict()


def optimizer_for(
    model: GPT2LMHeadModel, rank: int, *, feedback: bool = False
) -> torch.optim.Optimizer:
    """AdamW, with gradients of this rank unless it is 0."""
    weights, how = list(model.parameters()), {"lr": RATE, "betas": BETAS, "weight_decay": 0.0}
    if not rank:
        return torch.optim.AdamW(weights, **how)
    return LowRankAdamW(weights, rank, feedback=feedback, **how)


def learn(
    world: World, steps: int, seed: int, rank: int, *, fresh: bool = False, feedback: bool = False
) -> dict[str, float]:
    """Train at one rate, warmed up and lowered as a cosine; what came of it."""
    torch.manual_seed(seed)
    model, rows = world.model(fresh=fresh), world.pretraining if fresh else world.polite
    optimizer, began = optimizer_for(model, rank, feedback=feedback), time.perf_counter()
    batches, seen = starter._batches(rows[HELD:], BATCH), list[list[Tensor]]()
    held = list[dict[str, float]]()
    means: list[Tensor] = []  # of whole gradients, as Adam's first moment would remember them
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * starter._cosine(step, steps)
        model.zero_grad()
        starter._loss(model, next(batches)).backward()
        if rank:
            whole = [weight.grad.clone() for weight in optimizer.matrices()]
            means = [
                torch.lerp(one, mean, BETAS[0])
                for one, mean in zip(whole, means or whole, strict=True)
            ]
            seen = [*seen, whole][-LAST:]
            optimizer.exchange()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if rank and step + 1 >= LAST:
            held.append(captured(optimizer, seen, means))
    seconds = (time.perf_counter() - began) / steps
    found = {"loss": starter._held_out_loss(model, rows[:HELD]), "ms_per_step": 1000 * seconds}
    adam = 8 * sum(weight.numel() for weight in model.parameters())
    if not rank:
        return found
    return found | {"bytes": optimizer.bytes / adam, **over_steps(held)}


def over_steps(held: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of what was told after each step from the first window's end on: of all, of windows' ends, and just before these."""
    return {
        "energy": mean_of(held[::EVERY], "energy"),
        "energy_of_every_step": mean_of(held, "energy"),
        "energy_before_it_moves": mean_of(held[EVERY - 1 :: EVERY], "energy"),
        "energy_of_exact_means": mean_of(held, "energy_of_exact_means"),
        "captured_of_a_step": mean_of(held, "captured_of_a_step"),
    }


def mean_of(rows: Sequence[Mapping[str, float]], name: str) -> float:
    """Of one figure over rows."""
    return statistics.fmean(row[name] for row in rows)


def captured(
    optimizer: LowRankAdamW, seen: list[list[Tensor]], means: list[Tensor]
) -> dict[str, float]:
    """Energy of the mean gradient that the projectors hold, as a share of the best of their rank; a step's own told.

    And what the best projectors of the exponential means of whole gradients hold, which no process could send.
    """
    held = best = known = 0.0
    for place, weight in enumerate(optimizer.matrices()):
        mean = lying(sum(step[place] for step in seen) / len(seen), weight)
        basis = optimizer.state[weight]["projector"]
        rank = basis.shape[1]
        held += (basis.T @ mean).square().sum().item()
        best += torch.linalg.svdvals(mean)[:rank].square().sum().item()
        exact = torch.linalg.svd(lying(means[place], weight), full_matrices=False)[0][:, :rank]
        known += (exact.T @ mean).square().sum().item()
    return {
        "energy": held / best,
        "energy_of_exact_means": known / best,
        "captured_of_a_step": optimizer.told.metrics()["gradient/captured"],
    }


def compared(world: World, steps: int, seeds: int, rank: int, *, fresh: bool) -> dict[str, object]:
    """Low-rank against whole gradients, seed by seed."""
    rows: list[dict[str, float]] = []
    for seed in range(seeds):
        whole = learn(world, steps, seed, 0, fresh=fresh)
        low = learn(world, steps, seed, rank, fresh=fresh)
        rows.append(low | {"ratio": low["loss"] / whole["loss"], "whole": whole["loss"]})
    fed = learn(world, steps, 0, rank, fresh=fresh, feedback=True)
    means = {name: mean_of(rows, name) for name in rows[0]}
    told = {
        f"feedback_{name}": fed[name]
        for name in ("loss", "bytes", "energy", "energy_of_every_step")
    }
    spread = {
        f"{name}_interval": interval([row[name] for row in rows])
        for name in ("ratio", "energy", "energy_of_every_step")
    }
    return {**means, **spread, **told}


def interval(values: list[float]) -> list[float | None]:
    """95 % over seeds."""
    found = estimate(values)
    return [found.low, found.high]


BEGINNING = 3  # steps
WAYS = ("whole", "low_rank", "powersgd")


def exchanged(world: World, rank: int, steps: int) -> dict[str, float]:
    """Bytes that each of two processes sends in a step, by each way, as a share of whole gradients; and their bar."""
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    mp.spawn(_process, (world, rank, steps, queue), nprocs=2)
    sent = dict(queue.get() for _ in WAYS)
    matrices = [weight for weight in world.model(fresh=True).parameters() if weight.ndim == 2]
    sides = sum(min(rank, *m.shape) * sum(m.shape) for m in matrices)
    return {
        **{f"{way}_bytes": sent[way] for way in WAYS},
        "low_rank_share": sent["low_rank"] / sent["whole"],
        "powersgd_share": sent["powersgd"] / sent["whole"],
        "r_times_sides_share": sides / sum(m.numel() for m in matrices),
    }


def _process(rank_of_process: int, world: World, rank: int, steps: int, queue: object) -> None:
    torch.set_num_threads(1)
    for number, way in enumerate(WAYS):
        place = f"tcp://127.0.0.1:{29_511 + number}"
        dist.init_process_group("gloo", init_method=place, rank=rank_of_process, world_size=2)
        sent = list(_sent_by(way, world, rank, steps))
        if rank_of_process == 0:
            queue.put((way, statistics.fmean(sent)))
        dist.destroy_process_group()


def _sent_by(way: str, world: World, rank: int, steps: int) -> Iterator[float]:
    """Bytes of each step of a window; the first three begin a basis and are not counted."""
    torch.manual_seed(dist.get_rank())
    model = world.model(fresh=False)
    optimizer = optimizer_for(model, rank if way == "low_rank" else 0)
    runs: torch.nn.Module = model
    if way == "powersgd":
        runs = DistributedDataParallel(model)
        state = powerSGD_hook.PowerSGDState(
            None, matrix_approximation_rank=rank, start_powerSGD_iter=2
        )
        runs.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    batches, plain, count = starter._batches(world.polite, 4), dist.all_reduce, [0]

    def counted(tensor: Tensor, *more: object, **how: object) -> object:
        count[0] += tensor.numel() * tensor.element_size()
        return plain(tensor, *more, **how)

    dist.all_reduce = counted
    try:
        for step in range(steps):
            count[0] = 0
            optimizer.zero_grad()
            rows = next(batches)
            length = max(len(one.ids) for one in rows)
            ids = torch.tensor([one.ids + [0] * (length - len(one.ids)) for one in rows])
            runs(input_ids=ids, labels=ids).loss.backward()
            if way == "low_rank":
                optimizer.exchange()
            if way == "whole":
                reduce_gradients(group["params"] for group in optimizer.param_groups)
            optimizer.step()
            if step >= BEGINNING:
                yield float(count[0])
    finally:
        dist.all_reduce = plain


def main() -> int:
    """Measure, print, and say by the exit status whether the bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=3000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rank, world = options.width // 8, world_of(options.width, options.documents)
    pretrain(world, 2 * options.steps)
    tuned = compared(world, options.steps, options.seeds, rank, fresh=False)
    scratch = compared(world, options.steps, 1, rank, fresh=True)
    sent = exchanged(world, rank, BEGINNING + EVERY)
    kept = {
        "bytes": tuned["bytes"] <= BARS["bytes"],
        "loss": tuned["ratio"] <= BARS["loss"],
        "energy": tuned["energy"] >= BARS["energy"],
        "exchanged": sent["low_rank_share"] < sent["powersgd_share"] * 1.2,
    }
    print(
        json.dumps(
            {
                "width": options.width,
                "rank": rank,
                "steps": options.steps,
                "tuned": tuned,
                "from_scratch": scratch,
                "exchanged": sent,
                "bars": BARS,
                "kept": kept,
            }
        )
    )
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
