"""Rows of `benchmarks.lab` that compare runs with each other: students, healed models, what is served.

distilled    a student beside the same one trained by cross-entropy alone for as many steps: KL(teacher ‖ student) of the
             same answers of the teacher's, prompt by prompt; the gap to the teacher is that of the second
healed       a student that is then aligned by f-DPG, beside the student itself: D_f to the same target
two terms    alignments of as many steps with D_f(train) + w D_f(served), w = 1 and w = 0: D_f as served, in eight bits
             and at another temperature
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.run import TARGET_BATCH, Findings, Players, weigh
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.calibration import Texts, own_answers
from alignment.maths.estimators import paired_estimate, ratio_interval
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of
from alignment.sampling.scoring import completion_token_kls
from alignment.seam.records import PromptRecord, write_jsonl
from alignment.targets.targets import no_reward, target_of
from alignment.trainer import drive

LENGTH, ANSWERS = 32, 4  # tokens of an answer at most; answers to a prompt
NONE: Mapping[str, Path] = {}
HALF = 0.5
TAUGHT: Mapping[str, Any] = {"layers": 2, "steps": 300, "batch": 32}
ON_POLICY: Mapping[str, Any] = {
    "objective": "on_policy", "steps": 60, "prompts_per_step": 16, "samples_per_prompt": 8, "learning_rate": 2e-4,
}  # fmt: skip
# Fewer words, by a rule: a target that is known without labels.
AIM: Mapping[str, Any] = {
    "reward_weight": 0.0, "rule": "words", "rule_weight": -0.05, "beta": 0.35, "steps": 40,
    "prompts_per_step": 16, "completions_per_prompt": 8, "max_new_tokens": LENGTH, "kl_budget": 50.0,
}  # fmt: skip
SERVED: Mapping[str, Mapping[str, Any]] = {
    "int8": {"inference_weight": 1.0, "inference_weights": "int8"},
    "temperature": {"inference_weight": 1.0, "inference_temperature": 0.7},
}


@dataclass(frozen=True)
class Bench:
    """A model, prompts to learn from and prompts to measure by, and where runs are computed."""

    model: Path
    training: Sequence[PromptRecord]
    held_out: Sequence[PromptRecord]
    folder: Path

    def run(self, name: str, kind: str, settings: Mapping[str, Any], **inputs: Path) -> Path:
        """Compute a run; where its result is."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        rows = {"prompts": self.training, "held_out": self.held_out}
        for role, some in rows.items():
            write_jsonl(folder / f"{role}.jsonl", some)
        files = {role: f"{role}.jsonl" for role in rows if kind != "align" or role == "prompts"}
        models = {"policy": self.model} | inputs
        given = files | {role: str(path.resolve()) for role, path in models.items()}
        spec = RunSpec(kind=kind, run=0, epoch=0, config=dict(settings), inputs=given)
        for _event in drive(spec, folder):
            pass
        return folder / "output"

    def student(self, name: str, inputs: Mapping[str, Path] = NONE, **settings: Any) -> Path:
        """Distil the model."""
        sizes = {"max_new_tokens": LENGTH, "held_out_prompts": 8, "completions_per_prompt": 1}
        return self.run(name, "distil", {**sizes, **settings}, **inputs)

    def aligned(self, name: str, policy: Path, **settings: Any) -> Path:
        """Align a policy with the model as its reference."""
        return self.run(name, "align", {**AIM, **settings}, policy=policy, reference=self.model)


def distilled(bench: Bench) -> dict[str, Any]:
    """A student of the teacher's chances, and the same one of its answers alone, for as many steps."""
    soft_at = bench.student("soft", **TAUGHT)
    hard_at = bench.student("hard", **TAUGHT, answer_weight=1.0)
    on_at = bench.student("own", {"student": soft_at}, **ON_POLICY)
    teacher = Policy.load(bench.model)
    texts = own_answers(teacher, bench.held_out, LENGTH, 5, ANSWERS)
    soft, hard, own = (gap_of(teacher, path, texts) for path in (soft_at, hard_at, on_at))
    nearer = paired_estimate(soft, hard, "nats")
    closed = 1 - ratio_interval(soft, hard).value
    return {
        "kl_by_chances": sum(soft) / len(soft),
        "kl_by_answers_alone": sum(hard) / len(hard),
        "nearer_by": nearer.model_dump(),
        "gap_closed": closed,
        "on_policy_after_it_nearer_by": paired_estimate(own, soft, "nats").model_dump(),
        "bars": {
            "better than by cross-entropy alone": (nearer.low or 0.0) > 0,
            "half of the gap to the teacher closed": closed >= HALF,
        },
    }


def gap_of(teacher: Policy, student: Path, texts: Texts) -> list[float]:
    """KL(teacher ‖ student) a token, of each prompt's answers."""
    rollouts = rollouts_of(teacher, texts.rows)
    kls = completion_token_kls(teacher.model, Policy.load(student).model, rollouts).double().sum(1)
    found: dict[str, list[float]] = {}
    for key, value in zip(texts.keys, (kls / rollouts.lengths).tolist(), strict=True):
        found.setdefault(key, []).append(value)
    return [sum(row) / len(row) for row in found.values()]


def healed(bench: Bench) -> dict[str, Any]:
    """A student that is aligned afterwards, beside itself: how far each is from the target of that."""
    small = bench.student("small", **TAUGHT)
    aligned = bench.aligned("healed", small)
    before, after = (distances_of(bench, path, AIM)["divergence"] for path in (small, aligned))
    nearer = paired_estimate(after, before)
    return {
        "divergence_before": sum(before) / len(before),
        "divergence_after": sum(after) / len(after),
        "nearer_by": nearer.model_dump(),
        "bars": {"not below the one that was not healed": (nearer.high or 0.0) >= 0},
    }


def two_terms(bench: Bench) -> dict[str, Any]:
    """Alignments that count what is served, beside one that does not: D_f as served, whatever comes out."""
    plain = bench.aligned("plain", bench.model)
    found: dict[str, Any] = {}
    for name, served in SERVED.items():
        counted = bench.aligned(name, bench.model, **served)
        without, with_ = (
            distances_of(bench, path, {**AIM, **served})["divergence_served"]
            for path in (plain, counted)
        )
        found[name] = {
            "served_without": sum(without) / len(without),
            "served_with": sum(with_) / len(with_),
            "nearer_by": paired_estimate(with_, without).model_dump(),
        }
    return found | {"bars": {}}


def distances_of(bench: Bench, policy: Path, aim: Mapping[str, Any]) -> dict[str, list[float]]:
    """D_f of a policy to the target of these settings, prompt by prompt, as it is and as it is served."""
    config = AlignConfig.stored(aim)
    reference, loaded = Policy.load(bench.model), Policy.load(policy)
    target = target_of(config, no_reward, reference)
    players = Players(loaded, reference, None, aimed=True, aim=config, target=target, lambdas=[])
    settings = EvaluateConfig.stored({"max_new_tokens": LENGTH})
    found, generator = Findings(), torch.Generator().manual_seed(0)
    for start in range(0, len(bench.held_out), TARGET_BATCH):
        some = bench.held_out[start : start + TARGET_BATCH]
        weigh(players, some, settings, generator, found)
    return found.columns


COMPARED: Mapping[str, Callable[[Bench], dict[str, Any]]] = {
    "distilled": distilled,
    "healed": healed,
    "two terms": two_terms,
}
