"""More fits than one: accuracy by the number of labels, and cross-validation over all prompts."""

from collections.abc import Generator, Sequence
from itertools import accumulate
from typing import NamedTuple

from alignment.kinds.reward.settings import RewardConfig
from alignment.models.training import steps_of
from alignment.reward.labels import L, place
from alignment.reward.learning import Learned, Learner, Trial
from alignment.reward.measures import Told, measures, together
from alignment.seam.events import Event, PhaseStarted, StepDone
from alignment.seam.records import LabelRecord
from alignment.seam.words import _

SHARES = (0.25, 0.5)  # of the labels, besides all of them
CURVE, FOLDS = _("learning curve"), _("cross-validation")
Fits = Generator[Event, str | None, dict[str, object]]


class Steps(NamedTuple):
    """Where a fit stands in a run: how many steps came before its own, and how many there are in all."""

    before: int
    total: int


def trials(
    config: RewardConfig, fitted: Sequence[LabelRecord], held: Sequence[LabelRecord]
) -> list[Trial]:
    """The fits that the settings ask for besides the run's own."""
    shares = SHARES if config.learning_curve == "measure" else ()
    curve = [Trial(CURVE, first(fitted, share), list(held)) for share in shares]
    known = [*fitted, *held] if config.evaluate_on == "share" else fitted
    return curve + folds(known, config.folds)


def first(labels: Sequence[L], share: float) -> list[L]:
    """The labels of as many prompts as it takes to have this share of them; at least one prompt's."""
    order = sorted(labels, key=lambda label: place(label.prompt.key))
    last = place(order[max(0, round(share * len(order)) - 1)].prompt.key)
    return [label for label in order if place(label.prompt.key) <= last]


def folds(labels: Sequence[LabelRecord], count: int) -> list[Trial]:
    """Each prompt held out once, in `count` fits or as many as there are prompts."""
    keys = sorted({label.prompt.key for label in labels}, key=place)
    numbers = {key: at % min(count, len(keys)) for at, key in enumerate(keys)} if count else {}
    return [
        Trial(
            FOLDS,
            [label for label in labels if numbers[label.prompt.key] != fold],
            [label for label in labels if numbers[label.prompt.key] == fold],
        )
        for fold in sorted(set(numbers.values()))
    ]


def validated(
    learner: Learner, more: Sequence[Trial], own: Trial, learned: Learned, found: Told
) -> Fits:
    """What further fits say, beside the run's own and what that told.

    They look at nothing: they take the share of their steps after which the run's own weights were as they are kept.
    """
    told: dict[str, list[tuple[Trial, Told]]] = {CURVE: [], FOLDS: []}
    counts = [steps_of(learner.config, len(trial.fitted)) for trial in (own, *more)]
    for trial, before in zip(more, accumulate(counts[:-1]), strict=True):
        if not told[trial.name]:
            yield PhaseStarted(name=trial.name)
        seen = yield from quietly(learner, trial, learned.share, Steps(before, sum(counts)))
        told[trial.name].append((trial, seen))
    summary: dict[str, object] = {}
    if told[CURVE] and found.pairs:
        summary["learning_curve"] = [
            {"labels": len(trial.fitted), "accuracy": seen.accuracy().model_dump()}
            for trial, seen in [*told[CURVE], (own, found)]
        ]
    if told[FOLDS] and (every := together([seen for _trial, seen in told[FOLDS]])).pairs:
        summary["accuracy_crossvalidated"] = every.accuracy().model_dump()
        summary["nll_crossvalidated"] = every.nll().model_dump()
    return summary


def quietly(
    learner: Learner, trial: Trial, share: float, steps: Steps
) -> Generator[Event, str | None, Told]:
    """One more fit, whose curves would only be in the way of the run's own; its steps are numbered on."""
    fitting = learner.learn(trial, share=share)
    try:
        while True:
            event = next(fitting)
            if isinstance(event, StepDone):
                speed = {"seconds/step": event.metrics["seconds/step"]}
                yield StepDone(step=steps.before + event.step, total=steps.total, metrics=speed)
    except StopIteration as ended:
        learned = ended.value
    assert learned is not None  # it is told of no run that it could be saved in
    return measures(learned.model, learned.observation, learned.held)[0]
