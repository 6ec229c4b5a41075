"""One f-DPG step of the product against its floor, TRL's trainers, and sampling by `generate`.

64 completions of at most 32 tokens, 8 a prompt, fp32, beta = 0.05, one cheap reward function. The arms
take turns step by step, so that whatever else the machine does falls on all of them alike. Lengths are
`fixed` (random weights; the end of text is never drawn) or `natural` (the starter model's own).
"""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2Model
from transformers.utils import logging

from alignment.kinds.align.settings import AlignConfig
from alignment.models.lora import shared
from alignment.models.policies import Policy
from alignment.objectives import samples
from alignment.objectives.problem import Problem, State, begin, prepare
from alignment.objectives.steps import prompts_of_step, train_step
from alignment.sampling.readers.gpt2 import Reader
from alignment.sampling.sampling import Rollouts
from alignment.sampling.warps import PLAIN, Warp
from benchmarks.floor import Floor
from benchmarks.peers import PEERS, Work, in_turn
from benchmarks.scenes import SCENES, SIZES, Scene, Size

PROMPTS, COMPLETIONS, LONGEST, BETA = 8, 8, 32, 0.05
RATE = 1e-6  # so small that lengths stay what they are
WARMUP = 3  # pairs that are not counted
MICRO = 8  # completions of one of TRL's forwards: faster on a CPU than 16 or all 64
Pairs = list[tuple[float, float]]


def reward(completions: list[list[int]]) -> list[float]:
    """The share of a completion's tokens that have an even number."""
    return [sum(token % 2 == 0 for token in ids) / max(1, len(ids)) for ids in completions]


@dataclass
class Ours:
    """The product's step, on a problem and state of its own."""

    problem: Problem
    state: State
    lengths: list[Tensor] = field(default_factory=list)  # of each step's completions

    @classmethod
    def on(cls, scene: Scene, **settings: object) -> "Ours":
        """Ready for its first step, with Z estimated from the reference."""
        lengths: list[Tensor] = []

        def rewarded(_: Policy, rollouts: Rollouts) -> Tensor:
            lengths.append(rollouts.lengths)
            found = torch.tensor(reward(rollouts.completion_ids()))
            return found.to(rollouts.tokens.device)

        config = AlignConfig(
            beta=BETA,
            prompts_per_step=PROMPTS,
            completions_per_prompt=COMPLETIONS,
            max_new_tokens=LONGEST,
            learning_rate=RATE,
            warmup=0,
            prompts=len(scene.prompts),
            **settings,
        )
        reference = Policy.load(scene.model)
        reference = shared(reference) if config.lora_rank else reference
        problem = Problem(scene.prompts, scene.model, reference, rewarded, config)
        state = begin(problem)
        while len(state.known.reference_rewards) < len(problem.prompts):
            prepare(problem, state)
        return cls(problem, state, lengths)

    def step(self) -> float:
        """Seconds of one step, under the switches of a run."""
        with as_the_trainer():
            return timed(lambda: train_step(self.problem, self.state))

    def prompts(self) -> list[list[int]]:
        """Token ids of the last step's prompts."""
        chosen = prompts_of_step(self.problem, self.state.step - 1)
        return [self.problem.ids[place] for place in chosen]


@contextmanager
def as_the_trainer() -> Iterator[None]:
    """The switches of a run's own process."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=False)


def timed(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def against_floor(scene: Scene, size: Size, pairs: int) -> Pairs:
    """Seconds of the floor and of ours, on the same prompts and lengths."""
    ours = Ours.on(scene)
    weights = ours.state.policy.model.state_dict()
    floor = Floor(weights, size.layers, size.heads, RATE)
    seconds = []
    for _ in range(WARMUP + pairs):
        mine = ours.step()
        same = partial(floor.step, ours.prompts(), ours.lengths[-1], reward, BETA)
        seconds.append((timed(same), mine))
    return seconds[WARMUP:]


def against_peer(name: str, scene: Scene, pairs: int) -> Pairs:
    """Seconds of TRL's trainer and of ours, on the same prompts."""
    ours = Ours.on(scene)
    total = WARMUP + pairs
    order = [
        ours.problem.prompts[i] for k in range(total) for i in prompts_of_step(ours.problem, k)
    ]
    work = Work(scene.model, order, reward, PROMPTS, COMPLETIONS, LONGEST, BETA, RATE)
    return in_turn(name, work, total, MICRO, ours.step)[WARMUP:]


def against_generate(scene: Scene, pairs: int) -> Pairs:
    """Seconds of a step that samples by transformers' `generate`, and of ours."""
    theirs, ours = Ours.on(scene), Ours.on(scene)
    seconds = []
    for _ in range(WARMUP + pairs):
        with patch.object(samples, "sample", generated):
            slow = theirs.step()
        seconds.append((slow, ours.step()))
    return seconds[WARMUP:]


@torch.no_grad()
def generated(
    policy: Policy,
    prompts: list[list[int]],
    *,
    completions: int,
    max_new_tokens: int,
    warp: Warp = PLAIN,
    generator: torch.Generator,
) -> Rollouts:
    """What `alignment.sampling.sampling.sample` does, by transformers' `generate`."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    columns = torch.arange(width)
    seen = columns >= torch.tensor([width - len(prompt) for prompt in prompts])[:, None]
    found = policy.model.generate(
        input_ids=ids,
        attention_mask=seen.long(),
        do_sample=True,
        temperature=warp.temperature,
        top_k=0,
        num_return_sequences=completions,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(policy.ends),
        pad_token_id=policy.turn_end,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = found.sequences[:, width:]
    ends = torch.isin(tokens, torch.tensor(policy.ends))
    ended = ends.cumsum(1)
    mask = ended - ends.long() == 0
    logits = torch.stack(found.logits, 1)
    logps = logits.gather(2, tokens.clamp(max=logits.shape[2] - 1)[..., None])[..., 0]
    logps = (logps - logits.logsumexp(-1)).masked_fill(~mask, 0.0)
    rows = tuple(tuple(prompt) for prompt in prompts for _ in range(completions))
    return Rollouts(rows, tokens, mask, logps, ended[:, -1] == 0)


def pass_closeness(scene: Scene) -> float:
    """Least over actual positions that are read, of a policy's and a reference's step."""
    ours = Ours.on(scene)
    least = actual = 0
    for _ in range(3):
        with counted() as pushed:
            ours.step()
        completions = ours.lengths[-1]
        prompts = torch.tensor([len(prompt) for prompt in ours.prompts()])
        read = int((prompts.repeat_interleave(COMPLETIONS) + completions).sum())
        least += int(prompts.sum() + (completions - 1).sum()) + (1 + 3) * read
        actual += sum(pushed)
    return least / actual


@contextmanager
def counted() -> Iterator[list[int]]:
    """Positions that are read, by transformers or by ours; those to be differentiated count thrice."""
    pushed: list[int] = []

    def counting(read: Callable[..., object]) -> Callable[..., object]:
        def counted(model: object, ids: Tensor, *rest: object, **options: object) -> object:
            pushed.append((3 if torch.is_grad_enabled() else 1) * ids.numel())
            return read(model, ids, *rest, **options)

        return counted

    with (
        patch.object(GPT2Model, "forward", counting(GPT2Model.forward)),
        patch.object(Reader, "read", counting(Reader.read)),
    ):
        yield pushed


def ratio(pairs: Pairs) -> dict[str, float]:
    """The first arm's median over the second's, with a bootstrap interval over pairs."""
    seconds = np.array(pairs)
    drawn = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    first, second = np.median(seconds[drawn], axis=1).T
    low, high = np.quantile(first / second, (0.025, 0.975))
    value = np.divide(*np.median(seconds, axis=0))
    return {
        name: round(float(x), 3) for name, x in (("value", value), ("low", low), ("high", high))
    }


def measure(scene: Scene, size: Size, pairs: int, peer_pairs: int) -> dict[str, object]:
    """All figures."""
    floor = against_floor(scene, size, pairs)
    peers = {name: against_peer(name, scene, peer_pairs) for name in PEERS}
    slow = against_generate(scene, peer_pairs)
    medians = np.median(np.array(floor), axis=0).round(4).tolist()
    return {
        "pass_closeness": round(pass_closeness(scene), 3),
        "time_closeness": ratio(floor),
        **{f"vs_trl_{name}": ratio(found) for name, found in peers.items()},
        "vs_generate": ratio(slow),
        "floor_seconds": medians[0],
        "step_seconds": medians[1],
    }


def parsed() -> Namespace:
    """The command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="4x128", help="layers x width")
    parser.add_argument("--lengths", choices=SCENES, default="fixed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=40, help="of steps, with the floor")
    parser.add_argument("--peer-pairs", type=int, default=20, help="of steps, with each peer")
    return parser.parse_args()


def main() -> int:
    """Parse, measure, print the figures."""
    options, started = parsed(), time.perf_counter()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    size = SIZES[options.size]
    with TemporaryDirectory() as folder:
        scene = SCENES[options.lengths](size, Path(folder))
        figures = measure(scene, size, options.pairs, options.peer_pairs)
    given = {"size": options.size, "lengths": options.lengths, "threads": options.threads}
    counts = {"n": options.pairs, "n_peers": options.peer_pairs}
    seconds = {"load": os.getloadavg()[0], "seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps(given | counts | figures | seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
