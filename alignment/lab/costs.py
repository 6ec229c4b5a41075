"""What a changed model costs and saves against its original, over held-out prompts.

Both answer the same prompts. KL(original ‖ changed) is the Rao-Blackwell estimate over the original's answers;
perplexity is of people's preferred answers where there are some, else of the original's; the divergence to the target
is estimated of both as an evaluation does. Every step has random numbers of its own, so that a run that goes
on from a checkpoint measures what it would have measured. The prompt is the unit of every interval but of time,
where it is a pair of forwards, one of each model.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignment.kinds.evaluate.run import (
    TARGET_BATCH,
    TARGET_PROMPTS,
    Findings,
    Judge,
    Players,
    aimed_at,
    estimable,
    judge_of,
    weigh,
    wins,
)
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.settings.costs import CostSettings
from alignment.lab.calibration import Texts
from alignment.maths.estimators import clipped, estimate, grouped_interval, paired_estimate
from alignment.models.computation import is_coarse
from alignment.models.forms.form import bytes_of
from alignment.models.loading import weight_files
from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts, rollouts_of
from alignment.models.trials import TOLERANCE, sampler
from alignment.objectives.receipts import COARSE
from alignment.sampling.sampling import Rollouts, sample
from alignment.sampling.scoring import completion_token_kls, completion_token_logps
from alignment.sampling.warps import Warp
from alignment.seam.errors import ConfigError
from alignment.seam.progress import split
from alignment.seam.records import Estimate, PromptRecord
from alignment.seam.words import _
from alignment.targets.targets import load_target

BATCH = 32  # prompts of a step, and texts
ROWS, LENGTH, PAIRS = 4, 32, 12  # of the forwards that are timed; pairs of them
ANSWERED, GREEDY = 8, 24  # prompts whose most probable answers are shown, and their tokens
COLD = 1e-4  # temperature at which the most probable token is drawn


@dataclass(frozen=True)
class Compared:
    """Two models and what they are compared on; `aim` is the original beside its target, where it has one."""

    original: Policy
    changed: Policy
    prompts: Sequence[PromptRecord]
    texts: Texts | None  # people's answers, by which perplexity is measured
    config: CostSettings
    judge: Judge | None
    aim: Players | None
    seed: int


@dataclass
class Measured:
    """What was measured so far: numbers by name, most of them one for each prompt."""

    columns: dict[str, list[float]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)  # of the prompts that perplexity was measured on
    answers: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, values: Sequence[float]) -> None:
        """More numbers of a name."""
        self.columns.setdefault(name, []).extend(values)

    @property
    def facts(self) -> dict[str, Any]:
        """A JSON form that restores the same numbers."""
        return {"columns": self.columns, "keys": self.keys, "answers": self.answers}


Part = Callable[[Compared, int, torch.Generator, Measured], Mapping[str, float]]


class Measurement(NamedTuple):
    """One part of a comparison."""

    name: str
    run: Part
    place: int


def load_compared(
    at: Mapping[str, Path],
    changed: Path,
    prompts: Sequence[PromptRecord],
    texts: Texts | None,
    config: CostSettings,
    seed: int,
) -> Compared:
    """Load both models, and who judges; raises ConfigError where something is missing."""
    original, other = sampler(at["policy"], "policy"), sampler(changed, "changed model")
    original.check_tokens(other)
    aim = _aim(at, original, prompts) if config.distance == "measured" else None
    judge = judge_of(config.judge, at)
    return Compared(original, other, prompts, texts, config, judge, aim, seed)


def _aim(at: Mapping[str, Path], original: Policy, prompts: Sequence[PromptRecord]) -> Players:
    """The original beside the target that it says it was aimed at."""
    if (known := load_target(at["policy"])) is None:
        raise ConfigError(
            _("The model does not say what it was aimed at; leave its distance to the target out.")
        )
    if "reference" not in at:
        raise ConfigError(_("Name the reference that the model was kept close to."))
    aim, lambdas = known
    reference = sampler(at["reference"], "reference")
    target = aimed_at(aim, at, reference, original, prompts[:TARGET_PROMPTS])
    return Players(
        policy=original,
        reference=reference,
        judge=None,
        aimed=True,
        aim=aim.model_copy(update={"inference_weight": 0.0}),  # both as they are
        target=target,
        lambdas=lambdas,
    )


def measurements_of(found: Compared) -> list[Measurement]:
    """All parts of a comparison, in their order."""
    texts = len(found.texts.rows) if found.texts else 0
    return _plan(len(found.prompts), texts, aimed=found.aim is not None)


def count_steps(prompts: int, texts: int, *, aimed: bool) -> int:
    """Of how many parts a comparison on so many prompts and texts is."""
    return len(_plan(prompts, texts, aimed=aimed))


def _plan(prompts: int, texts: int, *, aimed: bool) -> list[Measurement]:
    some = min(TARGET_PROMPTS, prompts) if aimed else 0
    parts: tuple[tuple[str, Part, int], ...] = (
        ("comparing", _compare, math.ceil(prompts / BATCH)),
        ("reading", _read, math.ceil(texts / BATCH)),
        ("weighing", _weigh, math.ceil(some / TARGET_BATCH)),
        ("answering", _answer, 1),
        ("timing", _time, 1),
    )
    return [Measurement(name, run, place) for name, run, count in parts for place in range(count)]


def take(found: Compared, step: Measurement, seen: Measured) -> dict[str, float]:
    """Do one part of a comparison; its metrics."""
    started = time.perf_counter()
    number = hash_of(found.seed, step)
    metrics = step.run(found, step.place, torch.Generator().manual_seed(number), seen)
    return {**metrics, "seconds/step": time.perf_counter() - started}


def hash_of(seed: int, step: Measurement) -> int:
    """The seed of one part, which no other has."""
    return (seed * 1_000_003 + sum(map(ord, step.name)) * 10_007 + step.place) % 2**63


def _compare(
    found: Compared, place: int, generator: torch.Generator, seen: Measured
) -> dict[str, float]:
    """Both models' answers to a batch of prompts."""
    prompts = found.prompts[place * BATCH : (place + 1) * BATCH]
    first, second, third = split(1, 1, 1)
    with first:
        before = _drawn(found, found.original, prompts, generator)
    with second:
        after = _drawn(found, found.changed, prompts, generator) if found.judge else None
    with third:
        kls = completion_token_kls(found.original.model, found.changed.model, before).double()
    count = found.config.completions_per_prompt
    totals, lengths = kls.sum(1).view(-1, count), before.lengths.view(-1, count)
    a_token = (totals.sum(1) / lengths.sum(1)).tolist()
    seen.add("kl_sequence", totals.mean(1).tolist())
    seen.add("kl_token", a_token)
    metrics = {"kl/token": sum(a_token) / len(a_token)}
    if found.texts is None:
        keys = [prompt.key for prompt in prompts for _ in range(count)]
        metrics |= _losses(found, before, keys, seen)
    if found.judge is not None and after is not None:
        metrics |= _judge(found, prompts, (before, after), seen)
    return metrics


def _drawn(
    found: Compared,
    policy: Policy,
    prompts: Sequence[PromptRecord],
    generator: torch.Generator,
) -> Rollouts:
    return sample(
        policy,
        [policy.prompt_ids(prompt.messages) for prompt in prompts],
        completions=found.config.completions_per_prompt,
        max_new_tokens=found.config.max_new_tokens,
        generator=generator,
    )


@torch.no_grad()
def _losses(
    found: Compared, rollouts: Rollouts, keys: Sequence[str], seen: Measured
) -> dict[str, float]:
    """How many nats a token both models need for the same answers."""
    lengths = rollouts.lengths.double().cpu()
    sides = {"before": found.original, "after": found.changed}
    means = {}
    for side, policy in sides.items():
        logps = completion_token_logps(policy.model, rollouts).double().sum(1).cpu()
        means[side] = -logps / lengths
        seen.add(f"nll_{side}", means[side].tolist())
    seen.keys += keys
    return {"perplexity/change": math.expm1((means["after"] - means["before"]).mean().item())}


def _judge(
    found: Compared,
    prompts: Sequence[PromptRecord],
    sides: tuple[Rollouts, Rollouts],
    seen: Measured,
) -> dict[str, float]:
    """Whose answers a judge prefers; each of the one against each of the other."""
    assert found.judge is not None
    count = found.config.completions_per_prompt
    asked = [prompt for prompt in prompts for _ in range(count)]
    verdicts: list[Tensor] = [
        found.judge(asked, drawn_texts(policy, drawn)).view(-1, count).cpu()
        for policy, drawn in zip((found.original, found.changed), sides, strict=True)
    ]
    rates = wins(*verdicts).double().mean(1).tolist()
    seen.add("win_rate", rates)
    return {"win/rate": sum(rates) / len(rates)}


def _read(
    found: Compared, place: int, _generator: torch.Generator, seen: Measured
) -> dict[str, float]:
    """What both models say of some people's answers."""
    assert found.texts is not None
    some = slice(place * BATCH, (place + 1) * BATCH)
    rollouts = rollouts_of(found.original, found.texts.rows[some])
    return _losses(found, rollouts, found.texts.keys[some], seen)


def _weigh(
    found: Compared, place: int, generator: torch.Generator, seen: Measured
) -> dict[str, float]:
    """How far both models are from the target, on many answers to a few prompts."""
    assert found.aim is not None
    some = found.prompts[:TARGET_PROMPTS][place * TARGET_BATCH : (place + 1) * TARGET_BATCH]
    config = EvaluateConfig.stored({"max_new_tokens": found.config.max_new_tokens})
    means = {}
    for side, policy in (("before", found.original), ("after", found.changed)):
        columns = Findings()
        weigh(replace(found.aim, policy=policy), some, config, generator, columns)
        for name in ("divergence", "ess_fraction"):
            seen.add(f"{name}_{side}", columns.columns.get(name, []))
        seen.add("mismatch", [columns.mismatch])
        row = columns.columns.get("divergence", [])
        means[side] = sum(row) / max(1, len(row))
    return {"divergence/change": means["after"] - means["before"]}


def _answer(
    found: Compared, _place: int, generator: torch.Generator, seen: Measured
) -> dict[str, float]:
    """The most probable answers of both models to a few prompts, and how far they are the same."""
    prompts = found.prompts[:ANSWERED]
    sides = [_greedy(policy, prompts, generator) for policy in (found.original, found.changed)]
    for prompt, before, after in zip(prompts, *sides, strict=True):
        same = next(
            (at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]),
            min(len(before), len(after)),
        )
        share = same / max(len(before), len(after))
        seen.add("greedy_same", [share])
        seen.answers.append(
            {
                "prompt": prompt.text,
                "before": found.original.text(before),
                "after": found.changed.text(after),
                "same": share == 1,
            }
        )
    drawn = _drawn(found, found.changed, prompts, generator)
    with torch.no_grad():
        read = completion_token_logps(found.changed.model, drawn)
    seen.add("mismatch", [(read - drawn.token_logps).abs().max().item()])
    return {}


def _greedy(
    policy: Policy, prompts: Sequence[PromptRecord], generator: torch.Generator
) -> list[list[int]]:
    ids = [policy.prompt_ids(prompt.messages) for prompt in prompts]
    room = policy.context_length - max(map(len, ids))
    return sample(
        policy,
        ids,
        completions=1,
        max_new_tokens=min(GREEDY, room),
        warp=Warp(temperature=COLD),
        generator=generator,
    ).completion_ids()


def _time(
    found: Compared, _place: int, generator: torch.Generator, seen: Measured
) -> dict[str, float]:
    """Milliseconds of forwards of the same tokens by both models, in turn."""
    for name, values in times_in_turn(found.original, found.changed, generator).items():
        seen.add(name, values)
    return {}


def times_in_turn(
    original: Policy, changed: Policy, generator: torch.Generator
) -> dict[str, list[float]]:
    """Milliseconds of forwards of the same tokens, by one model and the other in turn."""
    length = min(LENGTH, original.context_length)
    ids = torch.randint(len(original.tokenizer), (ROWS, length), generator=generator)
    ids = ids.to(original.device)
    sides = {"ms_before": original, "ms_after": changed}
    for policy in sides.values():
        _milliseconds(policy.model, ids)  # the first one makes ready
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _pair in range(PAIRS):
        for name, policy in sides.items():
            found[name].append(_milliseconds(policy.model, ids))
    return found


@torch.no_grad()
def _milliseconds(model: PreTrainedModel, ids: Tensor) -> float:
    started = time.perf_counter()
    more = {"use_cache": False} if model.can_generate() else {}
    model(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
    if ids.device.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started)


def costs(found: Compared, seen: Measured, folders: tuple[Path, Path]) -> dict[str, Any]:
    """The summary of a comparison: every number with its interval, and the sizes of both folders."""
    columns = seen.columns
    numbers = {
        "kl_token": estimate(columns["kl_token"], "nats"),
        "kl_sequence": estimate(columns["kl_sequence"], "nats"),
        **_perplexities(columns, seen.keys),
        **_divergences(columns),
        "greedy_same": clipped(estimate(columns["greedy_same"])),
        **times_told(columns),
    }
    if "win_rate" in columns:
        numbers["win_rate"] = clipped(estimate(columns["win_rate"]))
    mismatch = max(columns["mismatch"])
    most = COARSE if is_coarse(found.changed.model) else TOLERANCE
    return {
        **{name: one.model_dump() for name, one in numbers.items()},
        **sizes_told((found.original, found.changed), folders),
        **({"divergence_name": found.aim.aim.minimised} if found.aim else {}),
        "judge": found.config.judge,
        "perplexity_of": "people" if found.texts else "original",
        "mismatch": mismatch,
        "answers": seen.answers,
        "checks": [receipt(_("Sampler and scorer agree (nats a token)"), mismatch, most)],
    }


def sizes_told(policies: tuple[Policy, Policy], folders: tuple[Path, Path]) -> dict[str, Any]:
    """Bytes of two models, on disk and in memory."""
    before, after = (sum(path.stat().st_size for path in weight_files(one)) for one in folders)
    return {
        "bytes_before": before,
        "bytes_after": after,
        "bytes_ratio": after / before,
        "memory_before": bytes_of(policies[0].model),
        "memory_after": bytes_of(policies[1].model),
    }


def receipt(what: str, value: float, most: float) -> dict[str, Any]:
    """A receipt: what was looked at, what was found, the most that may be."""
    return {"what": what, "found": value, "most": most, "holds": value <= most}


def _perplexities(columns: Mapping[str, list[float]], keys: Sequence[str]) -> dict[str, Estimate]:
    """exp of the mean loss over prompts, before and after, and the change of it, paired."""
    pairs = zip(columns["nll_before"], columns["nll_after"], strict=True)
    change = grouped_interval([after - before for before, after in pairs], keys)
    return {
        "perplexity_change": transformed(change, math.expm1),
        **{
            f"perplexity_{side}": transformed(
                grouped_interval(columns[f"nll_{side}"], keys), math.exp
            )
            for side in ("before", "after")
        },
    }


def transformed(found: Estimate, rising: Callable[[float], float]) -> Estimate:
    """A rising function of an estimate, and of the ends of its interval."""
    ends = {
        name: None if (end := getattr(found, name)) is None else rising(end)
        for name in ("low", "high")
    }
    return found.model_copy(update={"value": rising(found.value), **ends})


def _divergences(columns: Mapping[str, list[float]]) -> dict[str, Estimate]:
    """The divergence to the target before and after; without intervals where the weights are too uneven."""
    was, now = (columns.get(f"divergence_{side}", []) for side in ("before", "after"))
    if not (was and now):
        return {}
    found = {"divergence_before": estimate(was), "divergence_after": estimate(now)}
    if len(was) == len(now):  # some prompt may have shown no answer of the target
        found["divergence_change"] = paired_estimate(was, now)
    if all(estimable(columns[f"ess_fraction_{side}"]) for side in ("before", "after")):
        return found
    unknown = {"low": None, "high": None}
    return {name: one.model_copy(update=unknown) for name, one in found.items()}


def times_told(columns: Mapping[str, list[float]]) -> dict[str, Estimate]:
    """Milliseconds of a forward of both, and how many times as fast the changed model is."""
    before, after = columns["ms_before"], columns["ms_after"]
    ratios = [math.log(one / other) for one, other in zip(before, after, strict=True)]
    return {
        "speedup": transformed(estimate(ratios), math.exp),
        "ms_before": estimate(before, "ms"),
        "ms_after": estimate(after, "ms"),
    }
