"""Settings of how the learning rate moves, what decays, and when a training ends before its last step."""

from collections.abc import Mapping
from typing import Any, Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

ShapeName = Literal["linear", "cosine", "constant"]
SHAPES: Mapping[ShapeName, str] = {
    "linear": _("Linear, to zero"),
    "cosine": _("Cosine, to zero"),
    "constant": _("Constant"),
}
FallName = Literal["linear", "cosine"]
FALLS: Mapping[FallName, str] = {name: SHAPES[name] for name in ("linear", "cosine")}
SCHEDULE = _("Schedule")


def minutes_at_most() -> Any:  # noqa: ANN401 - as `setting`
    """After how long a training ends."""
    return setting(
        0.0,
        _("Most minutes"),
        help=_(
            "The training ends after so long, pauses not counted, and its learning rate falls by the time that is "
            "left; 0 sets no bound."
        ),
        topic=SCHEDULE,
        unit=_("minutes"),
        ge=0,
        le=100_000,
        advanced=True,
    )


def checkpoint_of_the_end() -> Any:  # noqa: ANN401 - as `setting`
    """Whether a run can be extended from where it ended."""
    return setting(
        default=False,
        title=_("Keep where it ended"),
        help=_(
            "Saves a checkpoint after the last step too, so that another run can go on from there with more steps."
        ),
        topic=SCHEDULE,
        advanced=True,
    )


def decay_of_weights(usual: float = 0.0) -> Any:  # noqa: ANN401 - as `setting`
    """How far AdamW pulls matrices to zero."""
    return setting(
        usual,
        _("Weight decay"),
        help=_(
            "Pull of matrices towards zero, times the learning rate; norms and biases have none."
        ),
        topic=SCHEDULE,
        ge=0,
        le=10,
        advanced=True,
    )


class RateSettings(Settings):
    """How the learning rate of a training rises and falls."""

    schedule: ShapeName = setting(
        "linear",
        _("Learning rate after its peak"),
        help=_("How it goes on once the warm-up is over."),
        topic=SCHEDULE,
        advanced=True,
        choices=SHAPES,
    )
    warmup_share: float = setting(
        0.1,
        _("Warm-up"),
        help=_("Share of the training over which the learning rate rises."),
        topic=SCHEDULE,
        ge=0,
        le=0.9,
        advanced=True,
    )


class ScheduleSettings(RateSettings):
    """The same, with what decays and how long it may take."""

    weight_decay: float = decay_of_weights()
    most_minutes: float = minutes_at_most()

    @property
    def token_bound(self) -> int:
        """After how many tokens a training ends; 0: after any number."""
        return 0


class CourseSettings(ScheduleSettings):
    """The same, of what reads tokens that are there already."""

    keep_end: bool = checkpoint_of_the_end()
    most_tokens: int = setting(
        0,
        _("Most tokens"),
        help=_("The training ends with the step that reaches so many; 0 sets no bound."),
        topic=SCHEDULE,
        unit=_("tokens"),
        ge=0,
        le=10**13,
        advanced=True,
    )

    @property
    def token_bound(self) -> int:
        """After how many tokens a training ends; 0: after any number."""
        return self.most_tokens


class LoopScheduleSettings(Settings):
    """The same of runs that count their warm-up in steps and have a share of decay."""

    decay_shape: FallName = setting(
        "linear",
        _("Shape of the decay"),
        help=_("Of the learning rate, over the steps in which it falls."),
        topic=SCHEDULE,
        advanced=True,
        choices=FALLS,
        beside=("decay",),
    )
    weight_decay: float = decay_of_weights()
    most_minutes: float = minutes_at_most()
    keep_end: bool = checkpoint_of_the_end()
    most_tokens: int = setting(
        0,
        _("Most tokens drawn"),
        help=_("The training ends with the step whose completions reach so many; 0 sets no bound."),
        topic=SCHEDULE,
        unit=_("tokens"),
        ge=0,
        le=10**13,
        advanced=True,
    )

    @property
    def token_bound(self) -> int:
        """After how many tokens a training ends; 0: after any number."""
        return self.most_tokens
