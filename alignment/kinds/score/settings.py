"""Settings of runs that score answers."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

KeepName = Literal["scores", "features"]
KEPT: Mapping[KeepName, str] = {
    "scores": _("Scores alone"),
    "features": _("Scores and features"),
}
MOST_PAIRS = 5000


class ScoreConfig(Settings):
    """A reward model's scores of answers, and which two of them people should compare next."""

    prompts: int = setting(
        1000,
        _("Prompts"),
        help=_(
            "The answers to so many prompts are scored; those that people were asked least about come first."
        ),
        topic=_("Scoring"),
        unit=_("prompts"),
        ge=1,
        le=20_000,
        dashboard=True,
    )
    pairs: int = setting(
        500,
        _("Pairs in order"),
        help=_(
            "So many pairs of answers are put in the order in which comparing them would teach most; 0: none."
        ),
        topic=_("Scoring"),
        unit=_("pairs"),
        ge=0,
        le=MOST_PAIRS,
    )
    keep: KeepName = setting(
        "features",
        _("What is kept"),
        help=_("Scores alone, or also what the reward model's head reads of each answer."),
        topic=_("Scoring"),
        advanced=True,
        choices=KEPT,
    )
    overlong: OverlongName = overlong(_("Scoring"))
