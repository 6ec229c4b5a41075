"""`python -m tests.prove.learning`: nothing is learned of nothing, and what is there is learned.

Drift: default settings and a rule that never fires, so that the target is the reference: KL(policy || reference)
after 40 and 120 steps of the starter. Life: default steps on toys that can be listed, their targets at known
KL(p || a): what is left of KL(policy || p), at five rates, beside the same without decay and damping. Prints one
line a figure; exits with 1 where a bar is missed.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import DIVERGENCES
from alignment.models.policies import Policy
from alignment.objectives.problem import Problem, begin, prepare
from alignment.objectives.result import measure
from alignment.objectives.steps import train_step
from alignment.objectives.toy import listing, toy_problem, toy_state
from alignment.seam.records import PromptRecord, prompt_key
from alignment.targets.targets import no_reward
from alignment.trainer import drive
from alignment.world.grammar import prompts

STILL = 0.02  # nats that a policy may drift, or be farther from its target than it was
BARRED = ("fdpg", "rloo")  # the others are computed as they were published, and told
OBJECTIVES = (*BARRED, "grpo", "ppo")
LENGTHS = (40, 120)  # steps
NEVER = {"reward_weight": 0, "rule": "contains", "rule_text": "zzqq"}
AWAY = (0.0, 0.02, 0.1, 0.5)  # nats of KL(p || a)
FAR = (0.1, 0.5)  # where as little is to be left as at the best constant rate
RATES = (0.0005, 0.001, 0.002, 0.004, 0.008)
CONSTANT = {"decay": 0.0, "damping": False}
GOAL = {"max_new_tokens": 3, "kl_budget": 1000}
HALVINGS = 40


def starter(folder: Path) -> Path:
    """The starter by its default settings, trained once per machine."""
    cache_folder = Path(gettempdir(), "attune-benchmarks")
    cache_folder.mkdir(exist_ok=True)
    spec = RunSpec(kind="pretrain", run=0, epoch=0, config={}, inputs={}, cache=str(cache_folder))
    for _ in drive(spec, folder):
        pass
    return folder / "output"


def drift(model: Path, objective: str, steps: int) -> dict[str, float]:
    """KL to the reference in nats after so many steps for a rule that never fires, with its interval."""
    config = AlignConfig(objective=objective, steps=steps, **NEVER)
    rows = {prompt_key(turns): tuple(turns) for turns in islice(prompts(seed=2, count=2000), 2000)}
    records = [PromptRecord(key=key, messages=turns) for key, turns in rows.items()]
    chosen = records[: config.prompts]
    problem = Problem(chosen, model, Policy.load(model), no_reward, config)
    state = begin(problem)
    while len(state.known.reference_rewards) < len(problem.prompts):
        prepare(problem, state)
    for _ in range(steps):
        train_step(problem, state)
    found: dict[str, float] = measure(problem, state)["kl_reference"]
    return found


def drifts(model: Path, objectives: list[str]) -> Iterator[bool]:
    """Every objective and length; whether the bar holds where there is one."""
    for objective in objectives:
        for steps in LENGTHS:
            found = drift(model, objective, steps)
            held = objective not in BARRED or found["value"] <= STILL
            told = f"{found['value']:.5f} nats ({found['low']:.5f} to {found['high']:.5f}, n {found['n']})"
            print(f"drift {objective} {steps} steps: {told}{'' if held else ' FAILS'}", flush=True)
            yield held


def distance(problem: Problem) -> float:
    """KL(p || a) in nats, the mean over prompts."""
    every = listing(problem)
    excess = every.log_target - every.log_reference.log_softmax(1)
    return (every.log_target.exp() * excess).sum(1).mean().item()


@cache
def beta_at(away: float, seed: int) -> float:
    """The beta with which a toy's target is so far from its reference."""
    low, high = math.log(0.01), math.log(100)
    for _ in range(HALVINGS if away else 0):
        middle = (low + high) / 2
        problem = toy_problem(AlignConfig(beta=math.exp(middle), **GOAL), seed=seed)
        low, high = (middle, high) if distance(problem) > away else (low, middle)
    return min(math.exp(high), 100.0)


def left(away: float, seed: int, **settings: float) -> tuple[float, float]:
    """KL(policy || p) in nats before and after the default number of steps."""
    config = AlignConfig(beta=beta_at(away, seed), **GOAL, **settings)
    problem = toy_problem(config, seed=seed)
    state = toy_state(problem)
    prepare(problem, state)
    every = listing(problem)

    @torch.no_grad()
    def kl() -> float:
        ours = every.log_policy(state.policy).exp()
        return DIVERGENCES["reverse_kl"].divergence(ours, every.log_target.exp()).mean().item()

    before = kl()
    for _ in range(config.steps):
        train_step(problem, state)
    return before, kl()


def lives(seeds: int) -> Iterator[bool]:
    """Every target: no policy ends farther from it than it was, and no farther than at a constant rate."""
    for away in AWAY:
        mean: dict[str, dict[float, float]] = {}
        farther = -math.inf
        for name, settings in (("default", {}), ("constant", CONSTANT)):
            for rate in RATES:
                found = [left(away, s, learning_rate=rate, **settings) for s in range(seeds)]
                mean.setdefault(name, {})[rate] = statistics.mean(after for _, after in found)
                if name == "default" and rate == RATES[0]:
                    farther = max(after - before for before, after in found)
            rows = ", ".join(f"{rate:g}: {kl:.4f}" for rate, kl in mean[name].items())
            print(f"life at {away:g}, {name}: KL left {rows} (n {seeds} toys)", flush=True)
        best, constant = (min(mean[name].values()) for name in ("default", "constant"))
        held = farther <= STILL and (away not in FAR or best <= constant)
        said = f"most that a policy ends farther from p than it began {farther:.4f}; best {best:.4f}, constant {constant:.4f}"
        print(f"life at {away:g}: {said}{'' if held else ' FAILS'}", flush=True)
        yield held


def main() -> int:
    """Drift and life, or one of them; 0 where all bars hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("drift", "life"), default="")
    parser.add_argument("--objectives", nargs="*", default=list(OBJECTIVES))
    parser.add_argument("--seeds", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    held: list[bool] = []
    if options.part != "drift":
        held += lives(options.seeds)
    if options.part != "life":
        with TemporaryDirectory() as folder:
            held += drifts(starter(Path(folder)), options.objectives)
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
