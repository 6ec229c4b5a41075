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
EVALUATION = _("Evaluation")
SHARE, OWN = {"evaluate_on": ("share",)}, {"evaluate_on": ("own",)}
MEASURED = ("evaluate_every",)


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
        beside=MEASURED,
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
        beside=MEASURED,
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
