"""Settings that every kind of run which changes a finished model has: what it is tried on, and what is measured."""

from collections.abc import Mapping
from typing import Any, Literal

from alignment.kinds.evaluate.settings import JUDGES, JudgeName
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

CalibrationName = Literal["own", "chosen"]
CALIBRATIONS: Mapping[CalibrationName, str] = {
    "own": _("The model's own answers"),
    "chosen": _("A snapshot's preferred answers"),
}
DistanceName = Literal["measured", "left_out"]
DISTANCES: Mapping[DistanceName, str] = {
    "measured": _("Measured"),
    "left_out": _("Left out"),
}
COSTS = _("What it costs")
CALIBRATION = _("Texts that it is fitted to")


class CostSettings(Settings):
    """How a changed model is compared with its original on held-out prompts."""

    held_out_prompts: int = setting(
        128,
        _("Held-out prompts"),
        help=_("How many prompts of the test split both models are compared on."),
        topic=COSTS,
        unit=_("prompts"),
        ge=8,
        le=100_000,
    )
    completions_per_prompt: int = setting(
        2,
        _("Completions per prompt"),
        help=_("Answers of each model per held-out prompt."),
        topic=COSTS,
        unit=_("completions"),
        ge=1,
        le=64,
    )
    max_new_tokens: int = setting(
        48,
        _("Completion length limit"),
        help=_("A completion that reaches the limit is cut there."),
        topic=COSTS,
        unit=_("tokens"),
        ge=1,
        le=4096,
    )
    distance: DistanceName = setting(
        "left_out",
        _("Distance to the target"),
        help=_(
            "Whether the divergence to what the model was aligned to is estimated before and after; it needs "
            "the reference and, where one was optimised, the reward model."
        ),
        topic=COSTS,
        choices=DISTANCES,
    )
    judge: JudgeName = setting(
        "none",
        _("Judge"),
        help=_("Who decides how often the changed model's answers win over the original's."),
        topic=COSTS,
        choices=JUDGES,
    )
    overlong: OverlongName = overlong(COSTS)

    @property
    def own_answers(self) -> int:
        """How many answers of the model's own are drawn to a prompt, where a method is fitted to them."""
        return 1


def answers_to_read(default: CalibrationName = "own") -> Any:  # noqa: ANN401 - as `setting`
    """Which answers to the project's training prompts a method is fitted to."""
    return setting(
        default,
        _("Answers"),
        help=_(
            "To the project's training prompts: a snapshot's preferred ones, or the model's own."
        ),
        topic=CALIBRATION,
        choices=CALIBRATIONS,
    )


def prompts_to_read(default: int = 128) -> Any:  # noqa: ANN401 - as `setting`
    """How many training prompts take part."""
    return setting(
        default,
        _("Prompts"),
        help=_("How many training prompts take part."),
        topic=CALIBRATION,
        unit=_("prompts"),
        ge=8,
        le=100_000,
    )
