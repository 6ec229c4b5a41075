"""A run that makes a reward model of labels, and says how far it can be trusted."""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.spec import RunSpec
from alignment.models.control_tokens import controls, counted
from alignment.models.lora import ADAPTER, KeptAdapter
from alignment.models.overlong import Fitting, Reader, fitting_labels
from alignment.models.processors import default_device
from alignment.models.training import Run, ready_on, steps_of
from alignment.models.trials import sampler
from alignment.models.uses import is_masked
from alignment.objectives.problem import DRAWING
from alignment.reward.buckets import accuracy_by
from alignment.reward.calibration import calibration, temperature_of
from alignment.reward.centring import reference_texts, standardised
from alignment.reward.frozen import unfolded
from alignment.reward.labels import (
    contradicted,
    held_apart,
    learnable,
    pairs_in,
    refuse_few,
    usable,
)
from alignment.reward.learning import Learned, Learner, Trial, feature_table
from alignment.reward.measures import Told, measures
from alignment.reward.model import RewardModel, cautious
from alignment.reward.selection import choosing, passed_over
from alignment.reward.tilt import ess_by_beta
from alignment.reward.validation import trials, validated
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Event, Finished, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split
from alignment.seam.records import LabelRecord, read_labels, texts_of
from alignment.seam.words import _

PLURALS = {"tie": "ties", "ranking": "rankings", "thumb": "thumbs", "rating": "ratings"}


def train(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Fit a reward model to the labels in `pairs` from `backbone`; writes `folder/output`."""
    config = RewardConfig.stored(spec.config)
    backbone, run = folder / spec.inputs["backbone"], Run.of(spec, folder)
    given, measured = learned_from(spec, folder, config), measured_by(spec, folder, config)
    told = [one.told for one in (given, measured) if one]
    yield from (one for one in told if not one.all_fit)
    if config.centring == "reference":
        check_reference(spec, folder)
    labels = [*given.rows, *(measured.rows if measured else ())]
    own = yield from own_trial(backbone, config, given.rows, measured, spec.seed)
    more = trials(config, own.fitted, own.held)
    first, *others = (steps_of(config, len(trial.fitted)) for trial in (own, *more))
    yield ready_on(default_device(), first + sum(others), run)
    table = yield from feature_table(spec, folder, [*own.fitted, *own.held])
    learner = Learner(backbone, config, labels, spec.seed, table)
    if (learned := (yield from learner.learn(own, run, after=sum(others)))) is None:
        return
    yield PhaseStarted(name=_("measuring"))
    model, tilts, found, summary = judged(learned, own, spec, folder)
    summary |= yield from validated(learner, more, own, learned, found)
    model = unfolded(model)
    summary |= {**counts(own), **learned.progress.told, **_of_the_model(model, labels)}
    summary |= {"rows": [one.counts for one in told], "ess_by_beta": tilts}
    if found.pairs:
        summary |= {**calibration(found), "accuracy_by": accuracy_by(found, labels)}
        model = replace(model, temperature=temperature_of(found.margins))
    if config.annotators == "reliability":
        summary["annotators"] = learned.observation.reliabilities(own.fitted)
    save_result(model, learned.adapter, folder)
    yield Finished(summary=summary)


def save_result(model: RewardModel, adapter: KeptAdapter | None, folder: Path) -> None:
    """Commit `output`: the whole model, and beside it its adapter with the heads that read it, where it is kept."""
    with committed(folder / "output") as output:
        model.save(output)
        if adapter is not None:
            adapter.save(output)
            model.save_heads(output / ADAPTER)


def own_trial(
    backbone: Path,
    config: RewardConfig,
    labels: Sequence[LabelRecord],
    measured: Fitting | None,
    seed: int,
) -> Generator[Event, str | None, Trial]:
    """What the run itself learns from and is measured by; all that is not held out, or what is chosen of it."""
    known, held = held_apart(labels, measured.rows if measured else None, config.held_out)
    fitted = yield from choosing(backbone, config, known, seed, config.pooling)
    return Trial(_("training"), fitted, held, passed_over(known, fitted))


def learned_from(spec: RunSpec, folder: Path, config: RewardConfig) -> Fitting:
    """The labels that the settings use and that the backbone's context takes; raises DataError."""
    labels = learnable(read_labels(folder / spec.inputs["pairs"]), config)
    fitting = _fitting(spec, folder, config, "labels", labels)
    refuse_few(fitting.rows, "labels of different completions that fit the backbone's context")
    return fitting


def measured_by(spec: RunSpec, folder: Path, config: RewardConfig) -> Fitting | None:
    """The same of what the run is measured by, where that was given for it; raises DataError where it says nothing."""
    if config.evaluate_on != "own":
        return None
    labels = usable(read_labels(folder / spec.inputs["evaluation"]), config)
    if not labels:
        raise DataError(_("The evaluation holds no labels that this loss reads."))
    return _fitting(spec, folder, config, "evaluation", labels)


def _fitting(
    spec: RunSpec, folder: Path, config: RewardConfig, role: str, labels: Sequence[LabelRecord]
) -> Fitting:
    reader = Reader.of_reward(folder / spec.inputs["backbone"])
    return fitting_labels(labels, role, [reader], config.overlong)


def judged(
    learned: Learned, own: Trial, spec: RunSpec, folder: Path
) -> tuple[RewardModel, list[tuple[float, float]], Told, dict[str, object]]:
    """The finished model, how far it would tilt, and what held-out labels say of it."""
    config = learned.observation.config
    with counting(len(own.fitted) + len(own.held), _("labels")):
        drawing, scaling, judging = split(DRAWING * (config.centring == "reference"), 1, 1)
        with drawing:
            texts = known_texts(learned, own.fitted, spec, folder)
        with scaling:
            model, tilts = finished(learned, texts)
        with judging:
            return model, tilts, *measures(model, learned.observation, learned.held)


@torch.no_grad()
def finished(
    learned: Learned, texts: Sequence[tuple[str, list[int]]]
) -> tuple[RewardModel, list[tuple[float, float]]]:
    """The model with its zero, its unit and its caution, and how far it would tilt these texts at each beta."""
    keys, sequences = zip(*texts, strict=True)
    raw = learned.model.raw(sequences)
    caution = learned.observation.config.caution
    model = replace(standardised(learned.model, raw), caution=caution)
    return model, ess_by_beta(cautious(model.standard(raw), caution), keys)


def _of_the_model(model: RewardModel, labels: Sequence[LabelRecord]) -> dict[str, float]:
    """Its size, its zero and its unit; how many prompts and answers hold control tokens, where some do."""
    texts = (text for label in labels for text in texts_of(label))
    held = counted(controls(model.trunk.tokenizer).held, (one.prompt for one in labels), texts)
    return {
        **held,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "center": sum(model.center) / len(model.center),
        "scale": model.scale,
    }


def zero_role(spec: RunSpec) -> str:
    """Which input draws the answers whose mean reward is 0."""
    return "reference" if "reference" in spec.inputs else "backbone"


def check_reference(spec: RunSpec, folder: Path) -> None:
    """Raise DataError, ConfigError where what is to draw answers once the model has learned cannot."""
    role = zero_role(spec)
    if role == "backbone" and is_masked(folder / spec.inputs[role]):
        raise ConfigError(_("The backbone is an encoder and draws no samples; name a reference."))
    sampler(folder / spec.inputs[role], "reference")


def known_texts(
    learned: Learned, labels: Sequence[LabelRecord], spec: RunSpec, folder: Path
) -> list[tuple[str, list[int]]]:
    """Completions, by prompt, that give the reward its zero and its unit, as the model reads them."""
    if learned.observation.config.centring == "labelled":
        return [(one.prompt_key, ids) for one in learned.fitted for ids in one.texts]
    place = folder / spec.inputs[zero_role(spec)]
    return reference_texts(learned.model, place, labels, spec.seed)


def counts(own: Trial) -> dict[str, int]:
    """How many labels there were; kinds other than pairs, and those not chosen, only where there are any."""
    fitted, held = pairs_in(own.fitted), pairs_in(own.held)
    kinds = Counter[str](label.kind for label in own.fitted)
    return {
        "pairs_train": len(fitted),
        "pairs_heldout": len(held),
        **{f"{plural}_train": kinds[kind] for kind, plural in PLURALS.items() if kinds[kind]},
        **own.passed_over,
        "prompts_heldout": len({label.prompt.key for label in own.held}),
        "pairs_contradicted": contradicted(fitted + held),
    }
