"""What cannot work together in one run, said before it starts: pairs of a field and a sentence."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from alignment.kinds import KINDS
from alignment.kinds.align.settings import TargetedSettings
from alignment.kinds.kind import ASIDE, Kind, Rows
from alignment.kinds.settings.evaluation import PromptLookSettings
from alignment.kinds.settings.target import CLASSED
from alignment.seam.architectures import family_in
from alignment.seam.settings import Settings
from webapp.artifacts.models import Artifact
from webapp.datasets.models import Snapshot
from webapp.projects.models import Split
from webapp.runs.inputs import FEWEST_LOOKED_AT

Refusals = Iterator[tuple[str, str]]
FEWEST_PAIRS = {Split.TRAIN: 16, Split.VALIDATION: 8}  # of a snapshot, to learn from
WAY_OUT = {
    Split.TRAIN: gettext_lazy("Collect more labels, then freeze a new snapshot."),
    Split.VALIDATION: gettext_lazy(
        "Collect more labels (one prompt in five is for the judge), or choose another judge."
    ),
}


class Asked(NamedTuple):
    """A run as somebody wants it: its settings, and the artifacts it reads by role."""

    config: Settings
    inputs: Mapping[str, Artifact]


def refusals(asked: Asked, *, section: str) -> Refusals:
    """All that speaks against a run; settings are named `section-setting`, artifacts by role."""
    for setting, text in steps_refused(asked.config):
        yield f"{section}-{setting}", text
    for check in CHECKS:
        yield from check(asked)
    yield from few_labels(asked, KINDS[section])
    yield from unread(asked, KINDS[section])


def steps_refused(config: Settings) -> Refusals:
    """Numbers of steps and prompts that contradict each other, in settings that have both."""
    if not isinstance(config, TargetedSettings):
        return
    taught = config.prompts - getattr(config, "kept_back", 0)
    if config.prompts_per_step > (most := config.most_of(max(0, taught))):
        text = _("A step cannot use more prompts than take part: {n}.").format(n=most)
        yield "prompts_per_step", text
    if config.warmup > config.steps:
        text = _("The warm-up is longer than the {n} steps of training.").format(n=config.steps)
        yield "warmup", text


def unread(asked: Asked, kind: Kind) -> Refusals:
    """Models of an architecture that the kind of run cannot read."""
    for role, artifact in asked.inputs.items():
        if role in ASIDE or not artifact.is_model:
            continue
        if text := kind.refusal(asked.config, family_in(artifact.path)):
            yield role, text


def few_labels(asked: Asked, kind: Kind) -> Refusals:
    """Labels that are too few to learn from: what counts is what the kind reads of a snapshot."""
    labels = asked.inputs.get("labels")
    if labels is None:
        return
    split = getattr(asked.config, "labels", Split.TRAIN)
    given = kind.input("labels")
    rows = given.rows_for(asked.config) if given else None
    snapshot, fewest = labels.snapshot, FEWEST_PAIRS[Split(split)]
    if rows == Rows.IMITATED and snapshot.written_in(split) >= fewest:
        return
    if rows in (Rows.LABELS, Rows.THUMBS) and snapshot.alone_in(split) >= fewest:
        return
    if rows == Rows.THUMBS:
        words = _(
            "{snapshot} has {n} answers in the {split} split that people liked or not by themselves; at least "
            "{least} are needed. Collect thumbs or ratings of single answers, or learn from pairs."
        )
        n = snapshot.alone_in(split)
        yield "labels", words.format(snapshot=snapshot, n=n, split=_(split), least=fewest)
    elif text := few_pairs_in_words(snapshot, split):
        yield "labels", text


def few_pairs_in_words(snapshot: Snapshot, split: str) -> str:
    """Why a snapshot cannot be learned from; empty where it can."""
    found, fewest = snapshot.pairs_in(split), FEWEST_PAIRS[Split(split)]
    if found >= fewest:
        return ""
    words = _("{snapshot} has {n} usable pairs in the {split} split; at least {least} are needed.")
    said = words.format(snapshot=snapshot, n=found, split=_(split), least=fewest)
    return f"{said} {WAY_OUT[Split(split)]}"


def _same_model(asked: Asked) -> Refusals:
    """A comparison of a model with itself."""
    given = asked.inputs
    if "judge" not in type(asked.config).model_fields or "policy" not in given:
        return
    if given["policy"] == given.get("reference"):
        yield "reference", _("Model and reference are the same; there is nothing to compare.")


def no_known_answers(asked: Asked) -> Refusals:
    """Known answers that no held-out prompt came with."""
    if getattr(asked.config, "known_answers", "none") != "given" or "policy" not in asked.inputs:
        return
    prompts = asked.inputs["policy"].project.prompts.of_split(Split.TEST)
    if not prompts.filter(completions__source="imported").exists():
        yield (
            "evaluate-known_answers",
            _("No held-out prompt came with an answer; import prompts with answers first."),
        )


def no_validation_prompts(asked: Asked) -> Refusals:
    """An alignment that is to look at prompts of a split that has none."""
    config = asked.config
    if not isinstance(config, PromptLookSettings) or "policy" not in asked.inputs:
        return
    if not config.evaluate_every or config.evaluate_on != "own":
        return
    prompts = asked.inputs["policy"].project.prompts.of_split(Split.VALIDATION)
    if prompts[:FEWEST_LOOKED_AT].count() < FEWEST_LOOKED_AT:
        text = _("There are too few validation prompts to look at; keep training prompts back.")
        yield "align-evaluate_on", text


def uncounted_class(asked: Asked) -> Refusals:
    """A model that was aimed at a class, to be measured without the classifier that tells it."""
    policy = asked.inputs.get("policy")
    if policy is not None and getattr(asked.config, "classes", "") == "none" and classed(policy):
        yield (
            "evaluate-classes",
            _("The model was aimed at a class; count its classes by the classifier that tells it."),
        )


def partial_judge(asked: Asked) -> Refusals:
    """A judge that knows the labels which were optimised."""
    judge, reward = asked.inputs.get("judge"), asked.inputs.get("reward")
    if judge is None or reward is None:
        return
    if judge == reward:
        yield "judge", _("The judge must be another reward model than the one that was optimised.")
    elif (split := split_of(judge)) and split == split_of(reward):
        yield (
            "judge",
            _(
                "It learned from the {split} labels, as the reward model did; a judge needs labels of "
                "other prompts. Train one with “Labels used” on the validation prompts."
            ).format(split=_(split)),
        )


def rewarded(policy: Artifact) -> bool:
    """Whether a reward model is part of what a model was aimed at; so it is where nobody knows."""
    made = policy.producer
    return made is None or bool(made.config.get("reward_weight", 1))


def classed(policy: Artifact) -> bool:
    """Whether a classifier is part of what a model was aimed at; it is not where nobody knows."""
    made = policy.producer
    return made is not None and any(made.config.get(name) for name in CLASSED)


def coded(policy: Artifact) -> bool:
    """Whether a reward from code is part of what a model was aimed at; it is not where nobody knows."""
    made = policy.producer
    return made is not None and bool(made.config.get("code_weight"))


def split_of(reward: Artifact) -> str:
    """Which labels a reward model learned from; empty where nobody knows."""
    return str(reward.producer.config.get("labels", "")) if reward.producer else ""


CHECKS: tuple[Callable[[Asked], Refusals], ...] = (
    _same_model,
    partial_judge,
    no_known_answers,
    no_validation_prompts,
    uncounted_class,
)
