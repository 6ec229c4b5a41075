"""How near to the target after as many samples: the product's loop against CDPG as published.

The peer follows Korbak et al. (2022), generalised to f as Go et al. (2023): a running Z of each prompt, of
its own samples and this step's too; the mean of the last 1,024 pseudo-rewards, of all prompts, as the
baseline; one update per batch. Optimizer, warm-up, clip, prompts and batch are ours. Samples that ours
spends on Z_c count as its own; it takes four updates a step, each from the step's samples and others of
earlier steps. Each arm takes, per divergence and target, the best of the same five learning rates on seeds
of their own; other seeds then compare the arms.
"""

import argparse
import json
import math
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from statistics import geometric_mean
from typing import NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import DIVERGENCES, divergence_of
from alignment.maths.estimators import ZCache
from alignment.maths.losses import score_loss
from alignment.objectives.problem import Problem, State, learn_z, prepare, score
from alignment.objectives.steps import descend, prompts_of_step, train_step
from alignment.objectives.toy import listing, toy_problem, toy_state
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import DivergedError
from benchmarks.intervals import geometric_ratio

TARGETS: Mapping[str, dict[str, object]] = {
    "mild": {"beta": 1.0},
    "strong": {"beta": 0.25},
    "hard": {"beta": 1.0, "must_contain": "b"},
}
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
ASKED = ("a", "b b a", "c d", "d a c")
FRESH = 4  # prompts of a step that are sampled
BATCH = {"completions_per_prompt": 4, "reference_completions": 8, "max_new_tokens": 3}
REPLAY = {"prompts_per_step": 40, "replay_share": 0.9, "replay_steps": 1000}
REPLAY |= {"weight_limit": 5, "updates_per_step": 4}
CONTROL = ("jensen_shannon",)  # where ours is measured without replay too
CHOOSING = 3  # seeds of the choice of rates, below those of the comparison
WINDOW = 1024
Run = Callable[[AlignConfig, int, int], float]


def ours(config: AlignConfig, seed: int, samples: int) -> float:
    """The exact divergence left by the product's loop, over that of the reference."""
    problem = toy_problem(config, prompts=ASKED, seed=seed)
    state = toy_state(problem)
    prepare(problem, state)
    spent = len(ASKED) * config.reference_completions
    for _ in range((samples - spent) // (FRESH * config.completions_per_prompt)):
        train_step(problem, state)
    return left(problem, state)


def peer(config: AlignConfig, seed: int, samples: int) -> float:
    """The exact divergence left by CDPG, over that of the reference."""
    problem = toy_problem(config, prompts=ASKED, seed=seed)
    state, z, window = toy_state(problem), ZCache(), deque[float](maxlen=WINDOW)
    for _ in range(samples // (FRESH * config.completions_per_prompt)):
        published_step(problem, state, z, window)
    return left(problem, state)


def published_step(problem: Problem, state: State, z: ZCache, window: deque[float]) -> None:
    """Sample, add to the running Z, and follow pseudo-rewards less the mean of the last ones."""
    config, chosen = problem.config, prompts_of_step(problem, state.step)
    rollouts = sample(
        state.policy,
        [problem.ids[place] for place in chosen],
        completions=config.completions_per_prompt,
        max_new_tokens=config.max_new_tokens,
        generator=state.known.generator,
    )
    log_weights = score(problem, rollouts, ()).log_weights
    learn_z(problem, z, chosen, log_weights)
    found = [z.log_z(problem.prompts[place].key) for place in chosen]
    log_z = torch.tensor(found, dtype=torch.float64).repeat_interleave(
        config.completions_per_prompt
    )
    known = log_z != -math.inf
    rho = divergence_of(config).pseudo_reward(log_z - log_weights)
    baseline = mean(list(window) or rho[known].tolist())
    window.extend(rho[known].tolist())
    advantages = (rho - baseline).where(known, torch.zeros_like(rho))
    follow(state, config, completion_token_logps(state.policy.model, rollouts).sum(1), advantages)


def follow(state: State, config: AlignConfig, logps: Tensor, advantages: Tensor) -> None:
    """One update by the product's optimizer."""
    state.optimizer.zero_grad()
    loss = score_loss(logps, advantages.to(logps.dtype))
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    descend(config, state, loss.item(), way=1.0, again=False)  # the whole rate, never damped
    state.step += 1


def mean(values: Sequence[float]) -> float:
    """0 where there are none."""
    return sum(values) / len(values) if values else 0.0


@torch.no_grad()
def left(problem: Problem, state: State) -> float:
    """D_f of the policy over that of the reference, means over prompts, exactly."""
    divergence, every = divergence_of(problem.config), listing(problem)
    after = every.divergence(state.policy, divergence).mean().item()
    return after / every.divergence(problem.reference, divergence).mean().item()


ARMS: Mapping[str, tuple[Run, dict[str, object]]] = {
    "ours": (ours, REPLAY),
    "without_replay": (ours, {"prompts_per_step": FRESH}),
    "peer": (peer, {"prompts_per_step": FRESH}),
}


def config_of(arm: str, name: str, target: str, rate: float) -> AlignConfig:
    """The settings of one arm; raises pydantic's ValidationError for what is refused."""
    settings = {**BATCH, **TARGETS[target], **ARMS[arm][1]}
    return AlignConfig.model_validate(
        settings | {"divergence": name, "learning_rate": rate, "kl_budget": 1000, "steps": 100_000}
    )


def best_rate(arm: str, name: str, target: str, samples: int) -> float:
    """The rate that leaves least on the seeds of the choice; one that diverges is out."""

    def remains(rate: float) -> float:
        config = config_of(arm, name, target, rate)
        try:
            return geometric_mean(ARMS[arm][0](config, -k, samples) for k in range(1, CHOOSING + 1))
        except DivergedError:
            return math.inf

    return min(RATES, key=remains)


class Compared(NamedTuple):
    """One divergence, over all targets it is not refused for."""

    ratio: dict[str, float]  # what ours leaves over what the peer leaves
    control: dict[str, float]  # the same without replay, where that is asked for
    rates: dict[str, float]  # by arm and target


def compared(name: str, seeds: int, samples: int) -> Compared:
    """Run all arms of a divergence, each at its best rate."""
    torch.set_num_threads(1)
    rates: dict[str, float] = {}

    def remains(arm: str) -> list[float]:
        found = []
        for target in allowed(name):
            rate = rates[f"{arm}/{name}/{target}"] = best_rate(arm, name, target, samples)
            config = config_of(arm, name, target, rate)
            found += [ARMS[arm][0](config, seed, samples) for seed in range(seeds)]
        return found

    peers = remains("peer")
    control = geometric_ratio(remains("without_replay"), peers) if name in CONTROL else {}
    return Compared(geometric_ratio(remains("ours"), peers), control, rates)


def report(names: Sequence[str], seeds: int, samples: int, processes: int) -> dict[str, object]:
    """All of the divergences, so many of them at once."""
    found: dict[str, Compared] = {}
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        done = pool.map(partial(compared, seeds=seeds, samples=samples), names)
        for name, row in zip(names, done, strict=True):
            found[name] = row
            print(name, row.ratio, file=sys.stderr, flush=True)
    return {
        "remaining_ratio": {name: row.ratio for name, row in found.items()},
        "geometric_mean": geometric_mean([row.ratio["value"] for row in found.values()]),
        "without_replay": {name: row.control for name, row in found.items() if row.control},
        "rates": {place: rate for row in found.values() for place, rate in row.rates.items()},
    }


def allowed(name: str) -> list[str]:
    """The targets that a divergence is not refused for."""
    found = []
    for target in TARGETS:
        try:
            config_of("peer", name, target, RATES[0])
        except ValidationError:
            continue
        found.append(target)
    return found


def main() -> None:
    """Compare the arms and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divergences", default=",".join(DIVERGENCES), help="with commas between")
    parser.add_argument("--seeds", type=int, default=10, help="of the comparison, of every target")
    parser.add_argument("--samples", type=int, default=1600, help="of every run")
    parser.add_argument("--processes", type=int, default=1, help="divergences run at once")
    options = parser.parse_args()
    names = options.divergences.split(",")
    found = report(names, options.seeds, options.samples, options.processes)
    print(json.dumps(found | {"seeds": options.seeds, "samples": options.samples}))


if __name__ == "__main__":
    main()
