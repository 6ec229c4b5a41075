"""Policy against reference on held-out prompts: reward, distance, diversity and a judge's verdict.

The prompt is the unit of every interval. log Z, and what needs it, is estimated from many
completions of the final policy for some of the prompts, weighted by target / policy. The target is the
one that the policy says it was aimed at; where it was trained for a deployment too, the policy as it
will be served is measured beside it.
"""

import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from alignment.classification.model import class_chance
from alignment.evaluation.beside import Beside, measured_beside, told_of
from alignment.evaluation.serving import Cut, as_served
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.settings import EvaluateConfig, JudgeName
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import DIVERGENCES, divergence_of
from alignment.maths.diversity import diversity, self_bleu
from alignment.maths.estimators import (
    clipped,
    ess_fraction,
    estimate,
    log_mean_exp,
    paired_estimate,
    pareto_shape,
)
from alignment.models.classifier_checks import reads_prompts
from alignment.models.computation import is_coarse
from alignment.models.control_tokens import controls, counted
from alignment.models.devices import ONE, Placement
from alignment.models.overlong import Fitting, Reader, fitting_prompts, policies_of
from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts
from alignment.models.trials import sampler
from alignment.objectives.problem import DRAWING
from alignment.objectives.receipts import COARSE, receipts
from alignment.objectives.samples import Term, terms_of
from alignment.reward import RewardModel
from alignment.reward.code import CodeReward
from alignment.sampling.engines import warp_of
from alignment.sampling.sampling import Rollouts, sample
from alignment.sampling.scoring import (
    completion_token_entropies,
    completion_token_kls,
    completion_token_logps,
)
from alignment.sampling.stops import cut_at
from alignment.sampling.warps import Warp
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import (
    Event,
    Finished,
    PhaseStarted,
    Ready,
    SampleDrawn,
    StepDone,
    without_infinities,
)
from alignment.seam.folders import committed
from alignment.seam.progress import in_batches, split, through
from alignment.seam.records import PromptRecord, ScoredSample, read_jsonl, write_jsonl
from alignment.seam.words import _
from alignment.targets.targets import (
    Target,
    Values,
    load_target,
    no_reward,
    parts,
    target_of,
)
from alignment.world.utility import utility

BATCH = 32  # prompts
TARGET_PROMPTS, TARGET_COMPLETIONS, TARGET_BATCH = 32, 128, 4  # for log Z and what needs it
LEAST_ESS, LEAST_SAMPLES = 0.10, 20.0  # effective share and number of samples that log Z needs
NEARLY = 0.9  # share of the prompts that must have them
SHOWN = 8  # prompts whose samples are events
SHARES = ("win_rate", "truncated", "ess_fraction", "constraints_met", "self_bleu")
UNITS = {
    "kl_reference": "nats",
    "log_z": "nats",
    "elbo": "nats",
    "entropy": "nats",
    "target_reverse_kl": "nats",
    "target_forward_kl": "nats",
    "length": "tokens",
}
BESIDE = ("reverse_kl", "forward_kl", "total_variation", "jensen_shannon")  # whatever was trained
NEED_WEIGHTS = (
    "log_z",
    "divergence",
    "elbo",
    "alignment_gap",
    *(f"target_{name}" for name in BESIDE),
)

Judge = Callable[[Sequence[PromptRecord], Sequence[str]], Tensor]
Stage = Literal["before", "after", "served"]
WIN_RATES: Mapping[str, Stage] = {"win_rate": "after", "win_rate_served": "served"}
Progress = Generator[Event, str | None, None]


@dataclass(frozen=True)
class Players:
    """Everything that is loaded to evaluate a round; `judge` is None where nobody judges."""

    policy: Policy
    reference: Policy
    judge: Judge | None
    aimed: bool  # whether the policy says what it was aimed at
    aim: AlignConfig  # what that was, or what the evaluation's settings take it for
    target: Target
    lambdas: list[float]
    cut: Warp | None = None  # how the policy will be served, where that is said

    @property
    def sides(self) -> dict[Stage, tuple[Policy, Term]]:
        """Who answers, and how it is used."""
        own, *served = terms_of(self.aim)
        found: dict[Stage, tuple[Policy, Term]] = {
            "before": (self.reference, own),
            "after": (self.policy, own),
        }
        if served:
            found["served"] = (self.policy, served[0])
        if self.cut is not None:
            found["served"] = (self.policy, Cut(int8=bool(served) and served[0].int8, cut=self.cut))
        return found

    @property
    def rewarded(self) -> bool:
        """Whether there is a reward in the target."""
        return self.aim.scored


@dataclass(frozen=True)
class Answers:
    """Completions of one model for a batch of prompts; tensors have shape (prompts, completions)."""

    rollouts: Rollouts
    texts: list[list[str]]
    values: Values
    verdicts: Tensor | None

    @property
    def rewards(self) -> Tensor:
        """The target's reward: 0 where it has none."""
        return self.values.rewards.view(len(self.texts), -1).cpu()


@dataclass
class Findings:
    """What was measured so far: one number per prompt in every column."""

    columns: dict[str, list[float]] = field(default_factory=dict)
    tokens: list[tuple[list[int], list[int]]] = field(default_factory=list)
    samples: list[ScoredSample] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)
    mismatch: float = 0.0  # nats per token, largest between sampler and scorer

    def add(self, name: str, values: Tensor) -> None:
        """Append the means over completions of values (prompts, completions)."""
        self.columns.setdefault(name, []).extend(values.double().mean(1).tolist())


def evaluate(spec: RunSpec, folder: Path) -> Progress:
    """Compare `policy` with `reference`; writes `output/scores.json` and `output/samples.jsonl`."""
    config = EvaluateConfig.stored(spec.config)
    prompts, told = _asked(spec, folder, config)
    if not told.all_fit:
        yield told
    beside = measured_beside(spec, folder, config, prompts)
    players = load_players(spec, folder, config, prompts)
    generator = torch.Generator().manual_seed(spec.seed)
    compared = math.ceil(len(prompts) / BATCH)
    some = prompts[: config.weighed_prompts]
    total = compared + math.ceil(len(some) / TARGET_BATCH)
    device = str(players.policy.device)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=device)
    found = Findings(beside=beside)
    yield PhaseStarted(name=_("comparing"))
    for step, batch in enumerate(in_batches(prompts, BATCH, _("prompts")), start=1):
        metrics = _compare(players, batch, config, generator, found)
        yield StepDone(step=step, total=total, metrics=metrics)
    yield from _shown(found.samples[:SHOWN])
    yield PhaseStarted(name=_("measuring the target"))
    weighed = in_batches(some, TARGET_BATCH, _("prompts"))
    for step, batch in enumerate(weighed, start=compared + 1):
        metrics = weigh(players, batch, config, generator, found)
        yield StepDone(step=step, total=total, metrics=metrics)
    held = counted(controls(players.policy.tokenizer).held, prompts)
    summary = {**summary_of(players, config, found), "rows": [told.counts], **held}
    summary |= told_of(beside, spec.seed)
    with committed(folder / "output") as output:
        stored = json.dumps(without_infinities(summary), indent=1, allow_nan=False)
        (output / "scores.json").write_text(stored, encoding="utf-8")
        write_jsonl(output / "samples.jsonl", found.samples)
    yield Finished(summary=summary)


def summary_of(players: Players, config: EvaluateConfig, found: Findings) -> dict[str, object]:
    """The summary of a run: every number with its interval, by what it was measured, and how exactly."""
    aim = players.aim
    coarse = {"tolerance": COARSE} if is_coarse(players.policy.model) else {}
    known = receipts(aim).model_copy(update={"mismatch": found.mismatch, **coarse})
    if not players.aimed:  # no gradient of this divergence was ever followed
        known = known.model_copy(update={"gradient": None})
    return {
        **scores(found),
        "judge": config.judge,
        "beta": aim.beta,
        "divergence_name": aim.minimised,
        "receipts": known.model_dump(),
    }


def _asked(spec: RunSpec, folder: Path, config: EvaluateConfig) -> Fitting:
    """The held-out prompts that all models can read and answer; raises DataError where there are none."""
    prompts = list(read_jsonl(folder / spec.inputs["prompts"], PromptRecord))[: config.prompts]
    if not prompts:
        raise DataError(_("There is no held-out prompt; add prompts to the test split."))
    readers = _readers_of(spec, folder, config)
    return fitting_prompts(prompts, "prompts", readers, config.max_new_tokens, config.overlong)


def _readers_of(spec: RunSpec, folder: Path, config: EvaluateConfig) -> list[Reader]:
    """All models that will read a prompt with its answers, before they are loaded."""
    at = {role: folder / path for role, path in spec.inputs.items()}
    known = load_target(at["policy"])
    aim, _lambdas = known or (aim_of(config), [])
    asked = {"reward": bool(aim.reward_weight), "judge": config.judge == "held_out_labels"}
    asked["classifier"] = "classifier" in at and reads_prompts(at["classifier"])
    judges = [at[role] for role, reads in asked.items() if reads and role in at]
    policies = policies_of(at["policy"], at["reference"])
    return policies + [Reader.of_reward(path) for path in judges]


def load_players(
    spec: RunSpec, folder: Path, config: EvaluateConfig, prompts: Sequence[PromptRecord]
) -> Players:
    """Read the models of a run; raises ConfigError where the judge is missing."""
    at = {role: folder / path for role, path in spec.inputs.items()}
    placement = Placement.of(config)
    judge = judge_of(config.judge, at, placement)
    reference, policy = (sampler(at[role], role, placement) for role in ("reference", "policy"))
    policy.check_tokens(reference)
    known = load_target(at["policy"])
    aim, lambdas = known or (aim_of(config), [])
    return Players(
        policy=policy,
        reference=reference,
        judge=judge,
        aimed=known is not None,
        aim=aim,
        target=aimed_at(aim, at, reference, policy, prompts, own=not spec.run),
        lambdas=lambdas,
        cut=warp_of(config) if config.served else None,
    )


def judge_of(name: JudgeName, at: Mapping[str, Path], placement: Placement = ONE) -> Judge | None:
    """Who decides, None where nobody does; raises ConfigError where the judge is missing."""
    if name == "held_out_labels" and "judge" not in at:
        raise ConfigError(
            _(
                "The judge is a reward model trained on held-out labels, and none was given; label "
                "prompts of the validation split, or evaluate without a judge."
            )
        )
    judges: dict[str, Callable[[], Judge | None]] = {
        "held_out_labels": lambda: label_judge(RewardModel.load(at["judge"], "judge", placement)),
        "utility": lambda: utility_judge,
        "none": lambda: None,
    }
    return judges[name]()


def aimed_at(
    aim: AlignConfig,
    at: Mapping[str, Path],
    reference: Policy,
    policy: Policy,
    prompts: Sequence[PromptRecord],
    *,
    own: bool = False,
) -> Target:
    """The target of an alignment, for answers to these prompts; raises ConfigError where what it reads is missing.

    `own` says that it may be code of whoever runs this on their own command line.
    """
    turns = [prompt.messages for prompt in prompts]
    reward = no_reward
    if aim.reward_weight:
        if "reward" not in at:
            raise ConfigError(
                _(
                    "The policy was aimed at a reward model's score, or does not say at what; name the "
                    "reward model."
                )
            )
        model = RewardModel.load(at["reward"], placement=policy.placement)
        reward = model.knowing(reference, turns).knowing(policy, turns).score
    chance = class_chance(aim, at, [reference, policy], turns)
    if not aim.code_weight:
        return target_of(aim, reward, reference, chance)
    if "code" not in at:
        raise ConfigError(_("The policy was aimed at a reward from code; name it."))
    code = CodeReward.load(at["code"], aim, [reference, policy], prompts, own=own)
    return target_of(aim, reward, reference, chance, code)


def aim_of(config: EvaluateConfig) -> AlignConfig:
    """What a policy that does not say it was aimed at, by the evaluation's settings."""
    return AlignConfig.stored(config.model_dump(include={"beta", "divergence", "alpha"}))


def utility_judge(prompts: Sequence[PromptRecord], texts: Sequence[str]) -> Tensor:
    """(n,) what the simulated people of a demo project like."""
    asked = zip(prompts, texts, strict=True)
    return torch.tensor([utility(prompt.text, text) for prompt, text in asked])


def label_judge(model: RewardModel) -> Judge:
    """A reward model that learned from labels the aligned one never saw."""
    return lambda prompts, texts: model.score_texts([p.messages for p in prompts], texts)


def _compare(
    players: Players,
    prompts: Sequence[PromptRecord],
    config: EvaluateConfig,
    generator: torch.Generator,
    found: Findings,
) -> dict[str, float]:
    """Let both models answer a batch of prompts and add what is seen; the batch's metrics."""
    started = time.perf_counter()
    sides: dict[Stage, Answers] = {}
    *answering, comparing = split(*[DRAWING] * len(players.sides), 1)
    for share, (side, (model, term)) in zip(answering, players.sides.items(), strict=True):
        with share:
            sides[side] = answers = _answered(players, model, term, prompts, config, generator)
        for name, values in _described(players, model, term, answers):
            found.add(f"{name}_{side}", values)
        for one in found.beside:
            one.take(side, prompts, answers.texts)
    before, after = sides["before"], sides["after"]
    with comparing:
        kls = completion_token_kls(players.policy.model, players.reference.model, after.rollouts)
    found.add("kl_reference", kls.sum(1).view_as(after.rewards))
    for name, side in WIN_RATES.items():
        verdicts = sides[side].verdicts if side in sides else None
        if before.verdicts is not None and verdicts is not None:
            found.add(name, wins(before.verdicts, verdicts))
    found.tokens += zip(_words(before), _words(after), strict=True)
    found.samples += sampled(prompts, before, after)
    rewards = {"before": before.rewards, "after": after.rewards} if players.rewarded else {}
    return {
        **{f"reward/{side}": values.mean().item() for side, values in rewards.items()},
        "kl/reference": kls.sum(1).mean().item(),
        "seconds/step": time.perf_counter() - started,
    }


def _described(
    players: Players, model: Policy, term: Term, answers: Answers
) -> Iterator[tuple[str, Tensor]]:
    """What is measured of one model's answers (prompts, completions)."""
    rollouts, shape = answers.rollouts, answers.rewards.shape
    if players.rewarded:
        yield "reward", answers.rewards
    for name, column in parts(players.target, answers.values):
        yield name.replace("/", "_"), column.view(shape)
    yield "length", rollouts.lengths.view(shape)
    yield "truncated", rollouts.truncated.view(shape)
    if not isinstance(term, Cut):
        with term.used(model):
            entropies = completion_token_entropies(
                model.model, rollouts, temperature=term.temperature
            )
        yield "entropy", entropies.sum(1).view(shape)
    if shape[1] > 1:
        yield "self_bleu", torch.tensor(self_bleu(answers.texts))[:, None]
    if answers.verdicts is not None:
        yield "utility", answers.verdicts


def _answered(
    players: Players,
    model: Policy,
    term: Term,
    prompts: Sequence[PromptRecord],
    config: EvaluateConfig,
    generator: torch.Generator,
) -> Answers:
    """Completions of one model in one use, with what the target and the judge say of them."""
    count = config.completions_per_prompt
    drawing, judging = split(DRAWING, 1)
    with drawing:
        rollouts = _drawn(model, term, prompts, count, config, generator)
    texts = [cut_at(text, term.warp.stops) for text in drawn_texts(model, rollouts)]
    asked = [prompt for prompt in prompts for _ in range(count)]
    with judging:
        values = players.target.values(model, as_served(model, rollouts, asked, texts, term.warp))
    verdicts = None
    if players.judge is not None:
        verdicts = players.judge(asked, texts).view(-1, count).cpu()
    rows = [texts[i : i + count] for i in range(0, len(texts), count)]
    return Answers(rollouts, rows, values, verdicts)


def _drawn(
    model: Policy,
    term: Term,
    prompts: Sequence[PromptRecord],
    count: int,
    config: EvaluateConfig,
    generator: torch.Generator,
) -> Rollouts:
    """So many completions of each prompt by a model in one use."""
    with term.used(model):
        return sample(
            model,
            [model.prompt_ids(prompt.messages) for prompt in prompts],
            completions=count,
            max_new_tokens=config.max_new_tokens,
            warp=term.warp,
            generator=generator,
        )


def wins(before: Tensor, after: Tensor) -> Tensor:
    """How often `after` (prompts, n) beats `before` (prompts, m): (prompts, n * m), a tie is a half."""
    margin = after[:, :, None] - before[:, None, :]
    return ((margin.sign() + 1) / 2).flatten(1)


def _words(answers: Answers) -> list[list[int]]:
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


def _shown(samples: Sequence[ScoredSample]) -> Iterator[SampleDrawn]:
    """Both answers of some prompts, as events."""
    for s in samples:
        both: tuple[tuple[Literal["before", "after"], str, float], ...] = (
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
    """Compare the final policy with the target, on many of its completions of a few prompts."""
    started = time.perf_counter()
    _before, *answering = players.sides.items()
    uses = [(side, use) for side, use in answering if not isinstance(use[1], Cut)]
    ess = 0.0
    for side, (policy, term) in through(uses, len(uses)):
        drawing, reading, judging = split(DRAWING, 1, 1)
        with drawing:
            rollouts = _drawn(policy, term, prompts, TARGET_COMPLETIONS, config, generator)
        with reading, term.used(policy), torch.no_grad():
            known = completion_token_logps(policy.model, rollouts, temperature=term.temperature)
        found.mismatch = max(found.mismatch, (known - rollouts.token_logps).abs().max().item())
        with judging:
            log_weights = _weights_of(players, policy, rollouts).view(len(prompts), -1)
        ending = "" if side == "after" else f"_{side}"
        for name, values in distances(players, log_weights):
            found.add(f"{name}{ending}", values)
        if side == "after":
            ess = ess_fraction(log_weights).mean().item()
    return {"ess/fraction": ess, "seconds/step": time.perf_counter() - started}


def _weights_of(players: Players, policy: Policy, rollouts: Rollouts) -> Tensor:
    """(n,) log of target / policy in fp64, of completions of the policy in its use."""
    with torch.no_grad():
        reference = completion_token_logps(players.reference.model, rollouts).sum(1).double()
    values = players.target.values(policy, rollouts)
    target = players.target.log_scores(reference, values, players.lambdas)
    return (target - rollouts.logps.double()).cpu()


def distances(players: Players, log_weights: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What log P / policy (prompts, n) of the policy's completions says of its way to the target.

    With w = P / policy: Z = E[w], D_f from the same samples, and E[log w] <= E[log of the mean w] <= log Z.
    As RLHF's objective J is beta E[log w], the gap beta log Z - J is beta KL(policy || target).
    """
    yield "ess_fraction", ess_fraction(log_weights)[:, None]
    shapes = torch.tensor([pareto_shape(row) for row in log_weights])
    yield "pareto_shape", shapes[~shapes.isnan()][:, None]
    log_z = log_mean_exp(log_weights)[:, None]
    seen = log_z[:, 0] != -math.inf  # of the others no completion is in the target
    log_z, log_weights = log_z[seen], log_weights[seen]
    u = log_z - log_weights
    yield "log_z", log_z
    yield "divergence", divergence_of(players.aim).terms(u)
    infinite = {"reverse_kl"} if players.target.hard else set()  # by one broken constraint
    for name in BESIDE:
        if name not in infinite:
            yield f"target_{name}", DIVERGENCES[name].terms(u)
    if not infinite:
        yield "elbo", log_weights
        yield "alignment_gap", players.target.beta * u


def scores(found: Findings) -> dict[str, object]:
    """Every number with its interval over prompts, as the summary holds it."""
    columns = found.columns
    numbers = {name: estimate(column, _unit(name)) for name, column in columns.items() if column}
    for name in ("reward", "utility"):
        if f"{name}_before" in columns:
            before, after = columns[f"{name}_before"], columns[f"{name}_after"]
            numbers[f"{name}_gain"] = paired_estimate(before, after)
    for name in numbers:
        if name.startswith(SHARES):
            numbers[name] = clipped(numbers[name])
    numbers |= diversity(found.tokens)
    for ending in ("", "_served"):
        if not estimable(columns.get(f"ess_fraction{ending}", [1.0])):
            for name in (name + ending for name in NEED_WEIGHTS if name + ending in numbers):
                numbers[name] = numbers[name].model_copy(update={"low": None, "high": None})
    return {name: number.model_dump() for name, number in numbers.items()}


def estimable(ess: Sequence[float]) -> bool:
    """Whether nearly every prompt's weights are even enough: see LEAST_ESS, LEAST_SAMPLES and NEARLY."""
    least = max(LEAST_ESS, LEAST_SAMPLES / TARGET_COMPLETIONS)
    return sum(fraction >= least for fraction in ess) >= NEARLY * len(ess)


def _unit(name: str) -> str:
    return next((unit for start, unit in UNITS.items() if name.startswith(start)), "")


def _first(verdicts: Tensor | None, row: int) -> float | None:
    return None if verdicts is None else verdicts[row, 0].item()
