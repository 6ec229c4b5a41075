"""A smaller model that learns from a larger one: made of its layers or given, trained, compared with it."""

import math
from collections.abc import Generator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch

from alignment.kinds.distil.settings import HALF, DistilConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.changing import Made, ModelChange, Original, Progress, changing
from alignment.lab.costs import receipt, sizes_told
from alignment.lab.distilling import (
    DividedTexts,
    TeacherPair,
    distance_from_teacher,
    divided_texts,
    own_step,
    soft_step,
)
from alignment.lab.encoders import (
    HiddenTokens,
    encoder_costs,
    hidden_step,
    load_encoder,
    texts_read,
    told_by,
)
from alignment.lab.students import block_sizes, student_of
from alignment.maths.distillation import rewards_beside_teacher, soft_losses
from alignment.maths.divergences import divergence_of
from alignment.models.batches import similar_lengths
from alignment.models.forms.form import make_plain
from alignment.models.loading import naming
from alignment.models.lora import size_of
from alignment.models.policies import Policy
from alignment.models.training import Lessons, Run, Trainee, by_step, ready_for, train_on
from alignment.models.uses import is_masked
from alignment.seam.errors import ConfigError
from alignment.seam.events import Event, Finished, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, taking
from alignment.seam.records import Estimate
from alignment.seam.words import _

HOT, MATCHED = 1e4, 1e-3  # a temperature at which logits are matched, and how far from it, relative
NOTHING = 1e-9  # nats


def distil(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind distil: a smaller model that learns from `policy`; writes `folder/output`."""
    config = DistilConfig.stored(spec.config)
    source = folder / spec.inputs["policy"]
    with naming(source, "policy"):
        learn = distil_encoder if is_masked(source) else distil_policy
    yield from learn(spec, folder, config)


def distil_policy(spec: RunSpec, folder: Path, config: DistilConfig) -> Progress:
    """A student that writes."""

    def run(original: Original) -> Generator[Event, str | None, Made | None]:
        torch.manual_seed(spec.seed)
        student = student_for(spec, folder, config, original.policy)
        return (
            yield from taught(TeacherPair(original.policy, student), original, config, spec, folder)
        )

    yield from changing(spec, folder, config, ModelChange(run, config.steps))


def student_for(spec: RunSpec, folder: Path, config: DistilConfig, teacher: Policy) -> Policy:
    """The student before it learns: one that is given, or part of the teacher. Raises ConfigError, DataError."""
    if "student" not in spec.inputs:
        layers = config.layers or math.ceil(block_sizes(teacher.model).layers / 2)
        with counting(1, _("models")), taking(1):
            return student_of(teacher, layers, config.width)
    if config.layers != HALF or config.width != 1:
        raise ConfigError(
            _(
                "The student that is given has layers and a width of its own; leave these settings out."
            )
        )
    at = folder / spec.inputs["student"]
    if not teacher.model.can_generate():
        student = load_encoder(at, "student")
        student.check_tokens(teacher)
        return student
    student = Policy.load(at, "student")
    student.check_prompts(teacher)
    make_plain(student.model)
    return student


def taught(
    pair: TeacherPair, original: Original, config: DistilConfig, spec: RunSpec, folder: Path
) -> Generator[Event, str | None, Made | None]:
    """The student once it has learned; None where it was saved to go on later."""
    texts = divided_texts((yield from original.texts()))
    one = Trainee.of(pair.student, config, spec.seed)
    pair = TeacherPair(pair.teacher, one.policy)
    yield PhaseStarted(name=_("measuring the start"))
    start = distance_from_teacher(pair, texts.held)
    lessons = student_lessons(pair, texts, config, spec.seed, original.after)
    if (yield from train_on(one, config, lessons, Run.of(spec, folder))) == "save":
        return None
    yield PhaseStarted(name=_("measuring"))
    end = distance_from_teacher(pair, texts.held)
    result = one.result
    told = student_told(TeacherPair(pair.teacher, result), (start, end)) | {
        "objective": config.objective,
        **lessons.progress.told,
        "answers_train": len(texts.fitted.rows),
        "answers_heldout": len(texts.held.rows),
    }
    return Made(result.save, told, checks_of(config))


def student_lessons(
    pair: TeacherPair, texts: DividedTexts, config: DistilConfig, seed: int, after: int
) -> Lessons:
    """What the student learns, step by step."""
    rows = texts.fitted.rows
    if config.objective == "on_policy":
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        return Lessons(config.steps, own_step(pair, prompts, config, seed), after)
    lengths = [row.length for row in rows]
    epochs = (similar_lengths(lengths, config.batch) for _epoch in repeat(None))
    at, loss = by_step(chain.from_iterable(epochs)), soft_step(pair, rows, config)
    return Lessons(config.steps, lambda step: loss(at(step)), after)


def distil_encoder(spec: RunSpec, folder: Path, config: DistilConfig) -> Progress:
    """A student that fills in what is hidden, as its teacher does."""
    if config.objective == "on_policy":
        raise ConfigError(
            _("An encoder writes no answers; let its student learn from the teacher's chances.")
        )
    torch.manual_seed(spec.seed)
    at = {role: folder / path for role, path in spec.inputs.items()}
    teacher = load_encoder(at["policy"], "policy")
    texts, run = HiddenTokens.of(teacher, *texts_read(at, config)), Run.of(spec, folder)
    yield ready_for(teacher, config.steps, run)
    yield PhaseStarted(name=_("changing"))
    one = Trainee.of(student_for(spec, folder, config, teacher), config, spec.seed)
    one, pair = replace(one, use="masked"), TeacherPair(teacher, one.policy)
    yield PhaseStarted(name=_("measuring the start"))
    start = told_by(pair, texts)
    lessons = Lessons(config.steps, hidden_step(pair, texts, config, spec.seed))
    if (yield from train_on(one, config, lessons, run)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    end = told_by(pair, texts)
    with committed(folder / "output") as output:
        one.result.save(output)
    sizes = sizes_told((teacher, pair.student), (at["policy"], folder / "output"))
    yield Finished(
        summary={
            "objective": config.objective,
            "encoder": True,
            **student_told(pair, (start.distance, end.distance)),
            **lessons.progress.told,
            "answers_train": len(texts.fitted),
            "answers_heldout": len(texts.held),
            **encoder_costs(pair, end, spec.seed),
            **sizes,
            "parameters": size_of(pair.student.model),
            "checks": checks_of(config),
        }
    )


def student_told(pair: TeacherPair, distances: tuple[Estimate, Estimate]) -> dict[str, Any]:
    """How large the student is, and how near it has come."""
    start, end = distances
    size = block_sizes(pair.student.model)
    return {
        "kl_start": start.model_dump(),
        "kl_end": end.model_dump(),
        **({"gap_closed": 1 - end.value / start.value} if start.value > 0 else {}),
        "student_layers": size.layers,
        "student_width": size.states,
        "parameters_ratio": size_of(pair.student.model) / size_of(pair.teacher.model),
    }


def checks_of(config: DistilConfig) -> list[dict[str, Any]]:
    """Receipts, on a few numbers of which the exact answer is known."""
    generator = torch.Generator().manual_seed(0)
    known, told = torch.randn(2, 4, 9, generator=generator, dtype=torch.float64)
    if config.objective == "on_policy":
        found = rewards_beside_teacher(torch.zeros(4, 9), divergence_of(config)).abs().max().item()
        return [
            receipt(_("Reward of answers where student and teacher are the same"), found, NOTHING)
        ]
    tokens = known.argmax(1)
    same = soft_losses(known, known, tokens, config.temperature).divergence.abs().max().item()
    learner = told.clone().requires_grad_()
    (slope,) = torch.autograd.grad(
        soft_losses(learner, known, tokens, HOT).divergence.sum(), learner
    )
    matched = (told - known - (told - known).mean(1, keepdim=True)) / told.shape[1]
    off = ((slope - matched).norm() / matched.norm()).item()
    return [
        receipt(_("Loss of a teacher beside itself (nats)"), same, NOTHING),
        receipt(_("Gradient at a high temperature, beside that of matching logits"), off, MATCHED),
    ]
