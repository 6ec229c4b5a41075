"""How a sweep searches: its method, its budget, and when it stops a trial early."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

MethodName = Literal["grid", "random", "tpe", "asha", "learned"]
METHODS: Mapping[MethodName, str] = {
    "grid": _("Grid: every combination"),
    "random": _("Random"),
    "tpe": _("TPE: more where it was good"),
    "asha": _("ASHA: random, the worse are stopped early"),
    "learned": _("Learned: random, stopped early as earlier runs teach"),
}
BetterName = Literal["larger", "smaller"]
BETTER: Mapping[BetterName, str] = {"larger": _("Larger"), "smaller": _("Smaller")}
FIRST = 6  # a first rung lies at so many parts of a trial's steps: earlier, curves say little of their ends
EARLY: Mapping[str, tuple[str, ...]] = {"method": ("asha", "learned")}  # what stops trials early


class SearchConfig(Settings):
    """How many trials of which points; frozen into the sweep's row."""

    method: MethodName = setting(
        "random",
        _("Method"),
        help=_(
            "Grid tries all combinations, TPE learns from the trials that have ended, ASHA lets only the "
            "best at each rung go on; a learned controller decides that by the curves of at least eight earlier runs of "
            "the kind."
        ),
        topic=_("Search"),
        choices=METHODS,
    )
    trials: int = setting(
        12, _("Trials"), help=_("At most so many runs."), topic=_("Search"), ge=1, le=200
    )
    at_once: int = setting(
        1,
        _("At once"),
        help=_("So many trials are queued or at work at a time; TPE learns most from one."),
        topic=_("Search"),
        ge=1,
        le=32,
    )
    steps: int = setting(
        0,
        _("Steps in all"),
        help=_(
            "Once the trials have done so many together no further one starts; those at work go on. 0: no limit."
        ),
        topic=_("Search"),
        ge=0,
        le=10**9,
    )
    first_rung: int = setting(
        0,
        _("First rung"),
        help=_("The step at which a trial is first compared with others; 0: a sixth of its steps."),
        topic=_("Search"),
        unit=_("steps"),
        ge=0,
        le=10**6,
        when=EARLY,
    )
    reduction: int = setting(
        3,
        _("Reduction"),
        help=_("One in so many goes on from a rung, and the next rung is so many times as far."),
        topic=_("Search"),
        ge=2,
        le=10,
        when=EARLY,
    )

    @property
    def stops_early(self) -> bool:
        """Whether trials are compared while they are at work."""
        return self.method in EARLY["method"]

    def rungs(self, total: int) -> list[int]:
        """The steps at which a trial of so many is compared with others; none without early stopping."""
        found, step = [], self.first_rung or max(1, round(total / FIRST))
        while self.stops_early and step < total:
            found.append(step)
            step *= self.reduction
        return found
