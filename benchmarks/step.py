"""One f-DPG step of the product against its floor, TRL's trainers, and sampling by `generate`.

64 completions of at most 32 tokens, 8 a prompt, fp32, beta = 0.05, one cheap reward function. The arms
take turns step by step, so that whatever else the machine does falls on all of them alike. Lengths are
`fixed` (random weights; the end of text is never drawn), of a GPT-2 or of a `llama`, or `natural` (the starter
model's own). `--model FOLDER` takes somebody's Llama with its own lengths, and then a step has 16 completions,
4 a prompt; `--lora RANK` trains an adapter in every arm.
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
from transformers.utils import logging

from alignment.kinds.align.settings import AlignConfig
from alignment.models.lora import shared
from alignment.models.policies import Policy
from alignment.objectives import samples
from alignment.objectives.problem import Problem, State, begin, prepare
from alignment.objectives.steps import prompts_of_step, train_step
from alignment.sampling.readers.gpt2 import GPT2Reader
from alignment.sampling.readers.llama import LlamaReader
from alignment.sampling.sampling import Rollouts, sample
from alignment.sampling.warps import PLAIN, Warp
from benchmarks.floor import Floor
from benchmarks.llama_floor import LlamaNetwork, Shape
from benchmarks.peers import PEERS, Work, in_turn
from benchmarks.scenes import SCENES, SIZES, Scene, brought

PROMPTS, COMPLETIONS, LONGEST, BETA = 8, 8, 32, 0.05
RATE = 1e-6  # so small that lengths stay what they are
WARMUP = 3  # pairs that are not counted
MICRO = 8  # completions of one of TRL's forwards: faster on a CPU than 16 or all 64
SAMPLED = (8, 8, 48)  # prompts, completions of each and their tokens, where sampling is timed alone
Pairs = list[tuple[float, float]]


@dataclass(frozen=True)
class Asked:
    """What is measured, and how a step's arms learn."""

    scene: Scene
    prompts: int = PROMPTS
    completions: int = COMPLETIONS
    longest: int = LONGEST
    lora: int = 0  # rank; 0: whole weights


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
    def of(cls, asked: Asked) -> "Ours":
        """Ready for its first step, as it is asked for."""
        return cls.on(
            asked.scene,
            prompts_per_step=asked.prompts,
            completions_per_prompt=asked.completions,
            max_new_tokens=asked.longest,
            lora_rank=asked.lora,
        )

    @classmethod
    def on(cls, scene: Scene, **settings: object) -> "Ours":
        """Ready for its first step, with Z estimated from the reference."""
        lengths: list[Tensor] = []

        def rewarded(_: Policy, rollouts: Rollouts) -> Tensor:
            lengths.append(rollouts.lengths)
            found = torch.tensor(reward(rollouts.completion_ids()))
            return found.to(rollouts.tokens.device)

        usual = {
            "prompts_per_step": PROMPTS,
            "completions_per_prompt": COMPLETIONS,
            "max_new_tokens": LONGEST,
        }
        config = AlignConfig(
            beta=BETA,
            learning_rate=RATE,
            warmup=0,
            prompts=len(scene.prompts),
            **(usual | settings),
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


def floor_of(asked: Asked) -> Floor:
    """The bare operations of a step on the same model, with weights of their own."""
    model = Policy.load(asked.scene.model).model
    config, weights = model.config, model.state_dict()
    if config.model_type == "gpt2":
        return Floor.of(weights, config.n_layer, config.n_head, RATE)
    shape = Shape(
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
        config.rope_parameters["rope_theta"],
        config.rms_norm_eps,
    )
    policy, reference = (LlamaNetwork.of(weights, shape, rank) for rank in (asked.lora, 0))
    return Floor(policy, reference, RATE)


def against_floor(asked: Asked, pairs: int) -> Pairs:
    """Seconds of the floor and of ours, on the same prompts and lengths."""
    ours, floor = Ours.of(asked), floor_of(asked)
    seconds = []
    for _ in range(WARMUP + pairs):
        mine = ours.step()
        same = partial(floor.step, ours.prompts(), ours.lengths[-1], reward, BETA)
        seconds.append((timed(same), mine))
    return seconds[WARMUP:]


def against_peer(name: str, asked: Asked, pairs: int) -> Pairs:
    """Seconds of TRL's trainer and of ours, on the same prompts."""
    ours, scene = Ours.of(asked), asked.scene
    total = WARMUP + pairs
    order = [
        ours.problem.prompts[i] for k in range(total) for i in prompts_of_step(ours.problem, k)
    ]
    shape = (asked.prompts, asked.completions, asked.longest)
    work = Work(scene.model, order, reward, *shape, BETA, RATE, asked.lora)
    return in_turn(name, work, total, MICRO, ours.step)[WARMUP:]


def against_generate(asked: Asked, pairs: int) -> Pairs:
    """Seconds of a step that samples by transformers' `generate`, and of ours."""
    theirs, ours = Ours.of(asked), Ours.of(asked)
    seconds = []
    for _ in range(WARMUP + pairs):
        with patch.object(samples, "sample_to_learn", generated):
            slow = theirs.step()
        seconds.append((slow, ours.step()))
    return seconds[WARMUP:]


def sampling_alone(asked: Asked, pairs: int) -> Pairs:
    """Seconds of `generate` and of our sampler for the same prompts, as many completions and tokens as SAMPLED."""
    policy, (count, completions, longest) = Ours.of(asked).state.policy, SAMPLED
    prompts = [policy.prompt_ids(prompt.messages) for prompt in asked.scene.prompts[:count]]
    seconds = []
    for number in range(1 + pairs):
        draws = [
            partial(
                draw,
                policy,
                prompts,
                completions=completions,
                max_new_tokens=longest,
                generator=torch.Generator().manual_seed(number),
            )
            for draw in (generated, sample)
        ]
        seconds.append((timed(draws[0]), timed(draws[1])))
    return seconds[1:]


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


def pass_closeness(asked: Asked) -> float:
    """Least over actual positions that are read, of a policy's and a reference's step."""
    ours = Ours.of(asked)
    least = actual = 0
    for _ in range(3):
        with counted(ours) as pushed:
            ours.step()
        completions = ours.lengths[-1]
        prompts = torch.tensor([len(prompt) for prompt in ours.prompts()])
        read = int((prompts.repeat_interleave(asked.completions) + completions).sum())
        least += int(prompts.sum() + (completions - 1).sum()) + (1 + 3) * read
        actual += sum(pushed)
    return least / actual


def passes_of(model: object) -> int:
    """How often a position that is read now enters the first block, backward counted as two."""
    if not torch.is_grad_enabled():
        return 1
    # One without linear layers of its own looks up what they gave as the completions were drawn.
    looks_up = isinstance(model, GPT2Reader | LlamaReader) and not model.layers
    return 2 if looks_up else 3


@contextmanager
def counted(ours: Ours) -> Iterator[list[int]]:
    """Positions that are read, by transformers or by ours, each as often as `passes_of` says."""
    pushed: list[int] = []

    def counting(read: Callable[..., object]) -> Callable[..., object]:
        def counted(
            model: object, ids: Tensor | None = None, *rest: object, **options: object
        ) -> object:
            read_now = ids if ids is not None else options["input_ids"]
            pushed.append(passes_of(model) * read_now.numel())
            given = () if ids is None else (ids,)
            return read(model, *given, *rest, **options)

        return counted

    theirs = type(ours.state.policy.model.base_model)
    with (
        patch.object(theirs, "forward", counting(theirs.forward)),
        patch.object(GPT2Reader, "read", counting(GPT2Reader.read)),
        patch.object(LlamaReader, "read", counting(LlamaReader.read)),
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


def measure(asked: Asked, pairs: int, peer_pairs: int) -> dict[str, object]:
    """All figures."""
    floor = against_floor(asked, pairs)
    peers = {name: against_peer(name, asked, peer_pairs) for name in PEERS}
    medians = np.median(np.array(floor), axis=0).round(4).tolist()
    return {
        "pass_closeness": round(pass_closeness(asked), 3),
        "time_closeness": ratio(floor),
        **{f"vs_trl_{name}": ratio(found) for name, found in peers.items()},
        "vs_generate": ratio(against_generate(asked, peer_pairs)),
        "sampling_vs_generate": ratio(sampling_alone(asked, peer_pairs)),
        "floor_seconds": medians[0],
        "step_seconds": medians[1],
        "trl_seconds": {
            name: round(float(np.median(np.array(found)[:, 0])), 4) for name, found in peers.items()
        },
    }


def parsed() -> Namespace:
    """The command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="4x128", help="layers x width")
    parser.add_argument("--lengths", choices=SCENES, default="fixed")
    parser.add_argument(
        "--model", type=Path, help="folder of a Llama, in place of a size and lengths"
    )
    parser.add_argument("--lora", type=int, default=0, help="rank; 0: whole weights")
    parser.add_argument("--prompts", type=int, help="of a step")
    parser.add_argument("--completions", type=int, help="of a prompt")
    parser.add_argument("--longest", type=int, default=LONGEST, help="tokens of a completion")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--pairs", type=int, default=40, help="of steps, with the floor")
    parser.add_argument("--peer-pairs", type=int, default=20, help="of steps, with each peer")
    return parser.parse_args()


def asked_for(options: Namespace, folder: Path) -> Asked:
    """The scene of the command line, in a folder or as it was brought, and the shape of a step."""
    own = options.model is not None
    scene = brought(options.model) if own else SCENES[options.lengths](SIZES[options.size], folder)
    prompts = options.prompts or (4 if own else PROMPTS)
    completions = options.completions or (4 if own else COMPLETIONS)
    return Asked(scene, prompts, completions, options.longest, options.lora)


def main() -> int:
    """Parse, measure, print the figures."""
    options, started = parsed(), time.perf_counter()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with TemporaryDirectory() as folder:
        asked = asked_for(options, Path(folder))
        figures = measure(asked, options.pairs, options.peer_pairs)
    model = {"size": options.size, "lengths": options.lengths}
    given = {"model": options.model.name} if options.model else model
    given |= {"lora": asked.lora, "completions": asked.prompts * asked.completions}
    given |= {"longest": asked.longest, "threads": options.threads}
    counts = {"n": options.pairs, "n_peers": options.peer_pairs}
    seconds = {"load": os.getloadavg()[0], "seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps(given | counts | figures | seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
