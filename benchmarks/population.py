"""Six divergences from one pool: what a step costs, and how near to their targets the agents come.

Cost: a GPT-2 of 4 layers and width 128 with a reward model of that size. A population's step takes turns
with one step of each of six separate runs, which see as many completions each; the parts of a separate
step are timed as it runs. Nearness: the toy, whose divergences are exact, by seeds.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

from alignment.kinds.population import run as population
from alignment.kinds.population.run import begin_all, sharing
from alignment.kinds.population.settings import PopulationConfig
from alignment.maths.divergences import DIVERGENCES
from alignment.models.policies import Policy
from alignment.objectives import samples, steps
from alignment.objectives.problem import Problem, State, begin, prepare
from alignment.objectives.toy import listing, toy_problem, toy_state
from alignment.reward.model import RewardModel
from alignment.seam.records import Message, PromptRecord, prompt_key
from benchmarks.intervals import geometric_ratio, ratio_of_medians
from benchmarks.scenes import never_ending

SIX = (
    "forward_kl",
    "reverse_kl",
    "total_variation",
    "jensen_shannon",
    "squared_hellinger",
    "le_cam",
)
VOCABULARY, PROMPT_LENGTH, PROMPTS = 2048, 16, 64
COST = {
    "divergences": SIX, "prompts_per_step": 8, "completions_per_prompt": 16, "max_new_tokens": 32,
    "reference_completions": 2, "learning_rate": 1e-5, "kl_budget": 1000,
}  # fmt: skip
NEARNESS = {
    "divergences": SIX, "prompts_per_step": 4, "completions_per_prompt": 24, "max_new_tokens": 3,
    "reference_completions": 24, "learning_rate": 3e-3, "kl_budget": 1000, "beta": 0.5,
}  # fmt: skip
ASKED = ("a", "b b a", "c d", "d a c")
WARMUP = 2  # turns that are not counted
Times = dict[str, list[float]]


def cost(turns: int) -> dict[str, object]:
    """Ratios of a population's step to separate ones, and what its parts would allow."""
    times: Times = {name: [] for name in ("population", "six", "generation", "scoring", "training")}
    with TemporaryDirectory() as folder:
        problems = problems_of(Path(folder))
        agents = begin_all(problems)
        prepare(agents[0].problem, agents[0].state)
        separate = [(problem, begin(problem)) for problem in problems.values()]
        for problem, state in separate:
            prepare(problem, state)
        for _ in range(WARMUP + turns):
            times["population"].append(seconds(lambda: population.train_step(agents)))
            with parts_timed(times):
                times["six"].append(seconds(lambda: [steps.train_step(*one) for one in separate]))
    counted = {name: row[-turns * (len(row) // (WARMUP + turns)) :] for name, row in times.items()}
    g, r, t = (median(counted[name]) for name in ("generation", "scoring", "training"))
    six = counted["six"]
    return {
        "cost_ratio": ratio_of_medians(counted["population"], [one / len(SIX) for one in six]),
        "cost_bound": 1.1 * (g + r + len(SIX) * t) / (g + r + t),
        "vs_separate": ratio_of_medians(counted["population"], six),
        "seconds": {name: median(row) for name, row in counted.items()},
    }


def problems_of(folder: Path) -> dict[str, Problem]:
    """The same prompts, random model and reward model for every divergence."""
    store_model(folder)
    config = PopulationConfig(**COST)
    numbers = torch.randint(1, VOCABULARY - 1, (PROMPTS, PROMPT_LENGTH)).tolist()
    texts = [" ".join(f"w{number}" for number in row) for row in numbers]
    rows = [(Message(role="user", content=text),) for text in texts]
    prompts = [PromptRecord(key=prompt_key(row), messages=row) for row in rows]
    reward = RewardModel.fresh(folder, heads=2).score
    first = Problem(prompts, folder, Policy.load(folder), reward, config.agent(SIX[0]))
    return {name: replace(first, config=config.agent(name)) for name in SIX}


def store_model(folder: Path) -> None:
    """A random GPT-2 that never ends a completion."""
    end = VOCABULARY - 1
    words = {f"w{number}": number for number in range(end)} | {"<end>": end}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<end>",
        pad_token="w0",
        chat_template="{{ messages[-1]['content'] }}",
    ).save_pretrained(folder)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=128, n_embd=128, n_layer=4, n_head=4,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    never_ending(GPT2LMHeadModel(config), end).save_pretrained(folder)


@contextmanager
def parts_timed(times: Times) -> Iterator[None]:
    """Time what separate steps draw, score and learn, call by call."""

    def timed(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def measured(*args: object, **options: object) -> object:
            started = time.perf_counter()
            found = call(*args, **options)
            times[name].append(time.perf_counter() - started)
            return found

        return measured

    with (
        patch.object(samples, "sample_to_learn", timed("generation", samples.sample_to_learn)),
        patch.object(samples, "score", timed("scoring", samples.score)),
        patch.object(steps, "update", timed("training", steps.update)),
    ):
        yield


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def nearness(seeds: int, count: int) -> dict[str, dict[str, float | None]]:
    """Each agent's exact divergence to that of a run of its own, after as many completions seen."""
    together, alone = [joint(seed, count) for seed in range(seeds)], []
    for seed in range(seeds):
        alone.append({name: exact(*own(seed, count, name)) for name in SIX})
    return {
        name: geometric_ratio([row[name] for row in together], [row[name] for row in alone])
        for name in SIX
    }


def toys(seed: int, count: int) -> dict[str, Problem]:
    """The toy for every divergence."""
    config = PopulationConfig(**NEARNESS, steps=count)
    first = toy_problem(config.agent(SIX[0]), prompts=ASKED, seed=seed)
    return {name: replace(first, config=config.agent(name)) for name in SIX}


def joint(seed: int, count: int) -> Mapping[str, float]:
    """The exact divergence of every agent of a population after so many steps."""
    problems = toys(seed, count)
    agents = sharing(problems, {name: toy_state(problem) for name, problem in problems.items()})
    prepare(agents[0].problem, agents[0].state)
    for _ in range(count):
        population.train_step(agents)
    return {agent.name: exact(agent.problem, agent.state) for agent in agents}


def own(seed: int, count: int, name: str) -> tuple[Problem, State]:
    """A run of one divergence after so many steps."""
    problem = toys(seed, count)[name]
    state = toy_state(problem)
    prepare(problem, state)
    for _ in range(count):
        steps.train_step(problem, state)
    return problem, state


@torch.no_grad()
def exact(problem: Problem, state: State) -> float:
    """D_f(policy || target), mean over prompts."""
    divergence = DIVERGENCES[problem.config.divergence]
    return listing(problem).divergence(state.policy, divergence).mean().item()


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12, help="steps of each arm that are timed")
    parser.add_argument("--seeds", type=int, default=10, help="of the toy")
    parser.add_argument("--steps", type=int, default=100, help="of every run on the toy")
    options = parser.parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = cost(options.turns) | {
        "divergence_ratio": nearness(options.seeds, options.steps),
        "seeds": options.seeds,
        "steps": options.steps,
        "turns": options.turns,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
