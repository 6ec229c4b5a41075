"""Policy against reference on held-out prompts: reward, distance, diversity and a judge's verdict.

The prompt is the unit of every interval. log Z, and what needs it, is estimated from many
completions of the final policy for some of the prompts, weighted by target / policy.
"""

import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from alignment.config import AlignConfig, EvaluateConfig, RunSpec
from alignment.divergences import divergence_of
from alignment.diversity import diversity
from alignment.errors import ConfigError, DataError
from alignment.estimators import (
    clipped,
    ess_fraction,
    estimate,
    log_mean_exp,
    paired_estimate,
)
from alignment.events import Event, Finished, PhaseStarted, Ready, SampleDrawn, StepDone
from alignment.folders import committed
from alignment.policies import Policy
from alignment.records import PromptRecord, ScoredSample, read_jsonl, write_jsonl
from alignment.reward import RewardModel
from alignment.sampling import Rollouts, sample
from alignment.scoring import completion_token_kls, completion_token_logps
from alignment.targets import Target, load_target, target_of
from alignment.utility import utility

BATCH = 32  # prompts
TARGET_PROMPTS, TARGET_COMPLETIONS, TARGET_BATCH = 32, 64, 4  # for log Z and what needs it
LEAST_ESS, LEAST_SAMPLES = 0.10, 20.0  # effective share and number of samples that log Z needs
SHOWN = 8  # prompts whose samples are events
SHARES = {"win_rate", "truncated_before", "truncated_after", "ess_fraction"}
UNITS = {"kl_reference": "nats", "log_z": "nats", "length": "tokens"}

Judge = Callable[[Sequence[PromptRecord], Sequence[str]], Tensor]
Stage = Literal["before", "after"]
Progress = Generator[Event, str | None, None]


@dataclass(frozen=True)
class Players:
    """Everything that is loaded to evaluate a round; `judge` is None where nobody judges."""

    policy: Policy
    reference: Policy
    reward: RewardModel
    judge: Judge | None
    target: Target  # what the policy was aimed at
    lambdas: list[float]


@dataclass(frozen=True)
class Answers:
    """Completions of one model for a batch of prompts; tensors have shape (prompts, completions)."""

    rollouts: Rollouts
    texts: list[list[str]]
    rewards: Tensor
    verdicts: Tensor | None


@dataclass
class Findings:
    """What was measured so far: one number per prompt in every column."""

    columns: dict[str, list[float]] = field(default_factory=dict)
    tokens: list[tuple[list[int], list[int]]] = field(default_factory=list)
    samples: list[ScoredSample] = field(default_factory=list)

    def add(self, name: str, values: Tensor) -> None:
        """Append the means over completions of values (prompts, completions)."""
        self.columns.setdefault(name, []).extend(values.double().mean(1).tolist())


def evaluate(spec: RunSpec, folder: Path) -> Progress:
    """Compare `policy` with `reference`; writes `output/scores.json` and `output/samples.jsonl`."""
    config = EvaluateConfig.model_validate(spec.config)
    prompts = list(read_jsonl(folder / spec.inputs["prompts"], PromptRecord))[: config.prompts]
    if not prompts:
        raise DataError("There is no held-out prompt; add prompts to the test split.")
    players = load_players(spec, folder, config, prompts)
    generator = torch.Generator().manual_seed(spec.seed)
    compared = math.ceil(len(prompts) / BATCH)
    some = prompts[:TARGET_PROMPTS]
    total = compared + math.ceil(len(some) / TARGET_BATCH)
    device = str(players.policy.device)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=device)
    found = Findings()
    yield PhaseStarted(name="comparing")
    for step in range(1, compared + 1):
        batch = prompts[(step - 1) * BATCH : step * BATCH]
        metrics = compare(players, batch, config, generator, found)
        yield StepDone(step=step, total=total, metrics=metrics)
    yield from shown(found.samples[:SHOWN])
    yield PhaseStarted(name="measuring the target")
    for step in range(compared + 1, total + 1):
        start = (step - compared - 1) * TARGET_BATCH
        metrics = weigh(players, some[start : start + TARGET_BATCH], config, generator, found)
        yield StepDone(step=step, total=total, metrics=metrics)
    summary = {**scores(found), "judge": config.judge}
    with committed(folder / "output") as output:
        (output / "scores.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
        write_jsonl(output / "samples.jsonl", found.samples)
    yield Finished(summary=summary)


def load_players(
    spec: RunSpec, folder: Path, config: EvaluateConfig, prompts: Sequence[PromptRecord]
) -> Players:
    """Read the models of a run; raises ConfigError where the judge is missing."""
    at = {role: folder / path for role, path in spec.inputs.items()}
    if config.judge == "held_out_labels" and "judge" not in at:
        raise ConfigError(
            "The judge is a reward model trained on held-out labels, and none was given; label "
            "prompts of the validation split, or evaluate without a judge."
        )
    judges: dict[str, Callable[[], Judge | None]] = {
        "held_out_labels": lambda: label_judge(RewardModel.load(at["judge"])),
        "utility": lambda: utility_judge,
        "none": lambda: None,
    }
    reference = Policy.load(at["reference"])
    turns = [prompt.messages for prompt in prompts]
    reward = RewardModel.load(at["reward"]).knowing(reference, turns)
    plain = AlignConfig(beta=config.beta), list[float]()
    aimed, lambdas = load_target(at["policy"]) or plain
    return Players(
        policy=Policy.load(at["policy"]),
        reference=reference,
        reward=reward,
        judge=judges[config.judge](),
        target=target_of(aimed, reward.score, reference),
        lambdas=lambdas,
    )


def utility_judge(prompts: Sequence[PromptRecord], texts: Sequence[str]) -> Tensor:
    """(n,) what the simulated people of a demo project like."""
    asked = zip(prompts, texts, strict=True)
    return torch.tensor([utility(prompt.text, text) for prompt, text in asked])


def label_judge(model: RewardModel) -> Judge:
    """A reward model that learned from labels the aligned one never saw."""
    return lambda prompts, texts: model.score_texts([p.messages for p in prompts], texts)


def compare(
    players: Players,
    prompts: Sequence[PromptRecord],
    config: EvaluateConfig,
    generator: torch.Generator,
    found: Findings,
) -> dict[str, float]:
    """Let both models answer a batch of prompts and add what is seen; the batch's metrics."""
    started = time.perf_counter()
    sides = {}
    for side, model in (("before", players.reference), ("after", players.policy)):
        sides[side] = answers = answered(players, model, prompts, config, generator)
        found.add(f"reward_{side}", answers.rewards)
        found.add(f"length_{side}", answers.rollouts.lengths.view_as(answers.rewards))
        found.add(f"truncated_{side}", answers.rollouts.truncated.view_as(answers.rewards))
        if answers.verdicts is not None:
            found.add(f"utility_{side}", answers.verdicts)
    before, after = sides["before"], sides["after"]
    kls = completion_token_kls(players.policy.model, players.reference.model, after.rollouts)
    found.add("kl_reference", kls.sum(1).view_as(after.rewards))
    if before.verdicts is not None and after.verdicts is not None:
        found.add("win_rate", wins(before.verdicts, after.verdicts))
    found.tokens += zip(words(before), words(after), strict=True)
    found.samples += sampled(prompts, before, after)
    return {
        "reward/before": before.rewards.mean().item(),
        "reward/after": after.rewards.mean().item(),
        "kl/reference": kls.sum(1).mean().item(),
        "seconds/step": time.perf_counter() - started,
    }


def answered(
    players: Players,
    model: Policy,
    prompts: Sequence[PromptRecord],
    config: EvaluateConfig,
    generator: torch.Generator,
) -> Answers:
    """Completions of one model at temperature 1, with their rewards and the judge's verdicts."""
    count = config.completions_per_prompt
    rollouts = sample(
        model,
        [model.prompt_ids(prompt.messages) for prompt in prompts],
        completions=count,
        max_new_tokens=config.max_new_tokens,
        generator=generator,
    )
    texts = [model.text(ids).strip() for ids in rollouts.completion_ids()]
    rewards = players.reward.score(model, rollouts).view(-1, count).cpu()
    verdicts = None
    if players.judge is not None:
        asked = [prompt for prompt in prompts for _ in range(count)]
        verdicts = players.judge(asked, texts).view(-1, count).cpu()
    rows = [texts[i : i + count] for i in range(0, len(texts), count)]
    return Answers(rollouts, rows, rewards, verdicts)


def wins(before: Tensor, after: Tensor) -> Tensor:
    """How often `after` (prompts, n) beats `before` (prompts, m): (prompts, n * m), a tie is a half."""
    margin = after[:, :, None] - before[:, None, :]
    return ((margin.sign() + 1) / 2).flatten(1)


def words(answers: Answers) -> list[list[int]]:
    """Token ids of each prompt's completions, one after another; a row per prompt."""
    ids = answers.rollouts.completion_ids()
    count = answers.rewards.shape[1]
    starts = range(0, len(ids), count)
    return [[token for row in ids[i : i + count] for token in row] for i in starts]


def sampled(
    prompts: Sequence[PromptRecord], before: Answers, after: Answers
) -> Iterator[ScoredSample]:
    """The first completion of each model for each prompt."""
    for row, prompt in enumerate(prompts):
        yield ScoredSample(
            prompt=prompt,
            before=before.texts[row][0],
            after=after.texts[row][0],
            reward_before=before.rewards[row, 0].item(),
            reward_after=after.rewards[row, 0].item(),
            judge_before=_first(before.verdicts, row),
            judge_after=_first(after.verdicts, row),
        )


def shown(samples: Sequence[ScoredSample]) -> Iterator[SampleDrawn]:
    """Both answers of some prompts, as events."""
    for s in samples:
        both: tuple[tuple[Stage, str, float], ...] = (
            ("before", s.before, s.reward_before),
            ("after", s.after, s.reward_after),
        )
        for stage, text, reward in both:
            yield SampleDrawn(
                step=0,
                stage=stage,
                prompt_key=s.prompt.key,
                prompt=s.prompt.text,
                completion=text,
                reward=reward,
            )


def weigh(
    players: Players,
    prompts: Sequence[PromptRecord],
    config: EvaluateConfig,
    generator: torch.Generator,
    found: Findings,
) -> dict[str, float]:
    """Compare the final policy with the target, on many of its completions of a few prompts.

    With w = P / policy: Z = E[w], D_f from the same samples, and, as RLHF's objective J is
    beta (E[log w]), the gap beta log Z - J = beta KL(policy || target).
    """
    started = time.perf_counter()
    policy = players.policy
    rollouts = sample(
        policy,
        [policy.prompt_ids(prompt.messages) for prompt in prompts],
        completions=TARGET_COMPLETIONS,
        max_new_tokens=config.max_new_tokens,
        generator=generator,
    )
    with torch.no_grad():
        reference = completion_token_logps(players.reference.model, rollouts).sum(1).double()
    values = players.target.values(policy, rollouts)
    target = players.target.log_scores(reference, values, players.lambdas)
    log_weights = (target - rollouts.logps.double()).view(len(prompts), -1)
    log_z = log_mean_exp(log_weights)[:, None]
    u = log_z - log_weights
    found.add("log_z", log_z)
    found.add("divergence", divergence_of(config).terms(u))
    if not players.target.hard:  # else one completion that breaks a constraint makes it infinite
        found.add("alignment_gap", players.target.beta * u)
    found.add("ess_fraction", ess_fraction(log_weights)[:, None])
    ess = ess_fraction(log_weights).mean().item()
    return {"ess/fraction": ess, "seconds/step": time.perf_counter() - started}


def scores(found: Findings) -> dict[str, object]:
    """Every number with its interval over prompts, as the summary holds it."""
    columns = found.columns
    numbers = {name: estimate(column, _unit(name)) for name, column in columns.items()}
    for name in ("reward", "utility"):
        if f"{name}_before" in columns:
            before, after = columns[f"{name}_before"], columns[f"{name}_after"]
            numbers[f"{name}_gain"] = paired_estimate(before, after)
    for name in SHARES & set(numbers):
        numbers[name] = clipped(numbers[name])
    numbers |= diversity(found.tokens)
    if not estimable(numbers["ess_fraction"].value):
        unknown = {"log_z", "divergence", "alignment_gap", "ess_fraction"}
        for name in unknown & set(numbers):
            numbers[name] = numbers[name].model_copy(update={"low": None, "high": None})
    return {name: number.model_dump() for name, number in numbers.items()}


def estimable(ess: float) -> bool:
    """Whether the weights are even enough for log Z: see LEAST_ESS and LEAST_SAMPLES."""
    return ess >= max(LEAST_ESS, LEAST_SAMPLES / TARGET_COMPLETIONS)


def _unit(name: str) -> str:
    return next((unit for start, unit in UNITS.items() if name.startswith(start)), "")


def _first(verdicts: Tensor | None, row: int) -> float | None:
    return None if verdicts is None else verdicts[row, 0].item()
