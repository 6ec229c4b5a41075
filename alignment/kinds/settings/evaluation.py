"""Settings of what is measured on fixed examples while a training goes on, and which of its weights are kept."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import model_validator

from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said

KeptName = Literal["last", "best"]
KEPT_WEIGHTS: Mapping[KeptName, str] = {
    "last": _("The last"),
    "best": _("Those with the least held-out loss"),
}
EvaluatedName = Literal["share", "own"]
EVALUATED: Mapping[EvaluatedName, str] = {
    "share": _("A share of the prompts"),
    "own": _("Examples of their own"),
}
EVALUATED_PROMPTS: Mapping[EvaluatedName, str] = {
    "share": _("Prompts kept back"),
    "own": _("Validation prompts"),
}
EVALUATION = _("Evaluation")
SHARE, OWN = {"evaluate_on": ("share",)}, {"evaluate_on": ("own",)}
LOOKED = ("evaluate_every",)


class HeldOutSettings(Settings):
    """What is held out."""

    evaluate_on: EvaluatedName = setting(
        "share",
        _("Measured on"),
        help=_(
            "What is held out: a share of the prompts with what was said of them, or other examples."
        ),
        topic=EVALUATION,
        advanced=True,
        choices=EVALUATED,
    )


class LookSettings(Settings):
    """How often what is held out is looked at, and what follows from it."""

    evaluate_every: int = setting(
        0,
        _("Evaluate every"),
        help=_("Steps between two looks at the held-out examples; 0 looks once, at the end."),
        topic=EVALUATION,
        unit=_("steps"),
        ge=0,
        le=100_000,
        advanced=True,
    )
    kept: KeptName = setting(
        "last",
        _("Weights that are kept"),
        help=_("Those after the last step, or after the look that found the least loss."),
        topic=EVALUATION,
        advanced=True,
        choices=KEPT_WEIGHTS,
        beside=LOOKED,
    )
    patience: int = setting(
        0,
        _("Patience"),
        help=_(
            "The training ends once so many looks in turn found no less loss than the best; 0 waits for ever."
        ),
        topic=EVALUATION,
        unit=_("looks"),
        ge=0,
        le=1000,
        advanced=True,
        beside=LOOKED,
    )

    @property
    def keeps_best(self) -> bool:
        """Whether weights are kept beside those that learn."""
        return self.evaluate_every > 0 and self.kept == "best"

    @model_validator(mode="after")
    def _something_is_held_out(self) -> Self:
        shared = getattr(self, "evaluate_on", "share") == "share"
        if self.evaluate_every and shared and not getattr(self, "held_out", 1):
            raise ConflictError(
                "held_out", said(_("nothing would be held out to look at while the model learns"))
            )
        return self


# In this order what is held out comes first.
class EvaluationSettings(LookSettings, HeldOutSettings):
    """Both: examples of their own may measure where a share is not held out."""


class PromptLookSettings(LookSettings):
    """The same of what learns from its own answers: prompts are held out only where they are looked at."""

    evaluate_every: int = setting(
        0,
        _("Evaluate every"),
        help=_(
            "Steps between two looks at how far the policy is from its target on held-out prompts, which it answers "
            "by the same random numbers each time; 0 holds out none."
        ),
        topic=EVALUATION,
        unit=_("steps"),
        ge=0,
        le=100_000,
        advanced=True,
    )
    evaluate_on: EvaluatedName = setting(
        "share",
        _("Measured on"),
        help=_("Training prompts that are not learned from, or those of the validation split."),
        topic=EVALUATION,
        advanced=True,
        choices=EVALUATED_PROMPTS,
        beside=LOOKED,
    )
    evaluation_prompts: int = setting(
        64,
        _("Held-out prompts"),
        help=_("How many prompts are answered at each look, four times each."),
        topic=EVALUATION,
        unit=_("prompts"),
        ge=2,
        le=10_000,
        advanced=True,
        beside=LOOKED,
    )

    @property
    def kept_back(self) -> int:
        """How many of the training prompts only measure."""
        shares = self.evaluate_every and self.evaluate_on == "share"
        return self.evaluation_prompts if shares else 0
