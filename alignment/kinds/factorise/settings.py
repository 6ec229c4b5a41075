"""Settings of models whose hidden layers are kept as sub-layers of low rank."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.settings.costs import (
    CalibrationName,
    CostSettings,
    answers_to_read,
    prompts_to_read,
)
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

UnitName = Literal["parameters", "bytes", "milliseconds"]
UNITS: Mapping[UnitName, str] = {
    "parameters": _("Parameters"),
    "bytes": _("Bytes"),
    "milliseconds": _("Milliseconds"),
}
KeptName = Literal["used", "all"]
KEPT: Mapping[KeptName, str] = {
    "used": _("Those that are used"),
    "all": _("All, for every budget"),
}
BLOCKS, FITTING = _("Sub-layers"), _("How they are fitted")


class SubLayerSettings(Settings):
    """How many sub-layers a layer becomes, which are used, and how they are fitted."""

    share: float = setting(
        0.6,
        _("Budget"),
        help=_(
            "As a share of what these layers cost now: the first sub-layers of each that fit are used, "
            "those first that are worth most for what they cost."
        ),
        topic=BLOCKS,
        gt=0,
        le=1,
    )
    unit: UnitName = setting(
        "parameters",
        _("Budget in"),
        help=_(
            "What the sub-layers may cost; milliseconds are measured here, on 4 times 32 tokens."
        ),
        topic=BLOCKS,
        choices=UNITS,
    )
    in_file: KeptName = setting(
        "used",
        _("Sub-layers in the file"),
        help=_(
            "With all of them the file is as large as before, and each smaller budget is found in it "
            "without fitting anything again."
        ),
        topic=BLOCKS,
        choices=KEPT,
    )
    sublayers: int = setting(
        16,
        _("Sub-layers of a layer"),
        help=_("The finer, the closer a budget is met."),
        topic=BLOCKS,
        advanced=True,
        ge=1,
        le=256,
    )
    left_out: str = setting(
        "",
        _("Layers left out"),
        help=_(
            "Parts of names with commas between them: layers whose name has one stay as they are."
        ),
        topic=BLOCKS,
        advanced=True,
        max_length=2000,
    )
    steps: int = setting(
        100,
        _("Steps of a layer"),
        help=_("Of Adam, after least squares; with 0 there is none."),
        topic=FITTING,
        ge=0,
        le=100_000,
    )
    learning_rate: float = setting(
        0.001,
        _("Learning rate"),
        help=_("Relative to the mean magnitude of a layer's numbers."),
        topic=FITTING,
        advanced=True,
        gt=0,
        le=1,
    )
    damping: float = setting(
        0.01,
        _("Damping"),
        help=_("Share of the mean that is added to each moment: more trusts the texts less."),
        topic=FITTING,
        advanced=True,
        gt=0,
        le=10,
    )


class FactoriseConfig(CostSettings, SubLayerSettings):
    """Factorisation: hidden layers as sub-layers of low rank, and what that costs and saves."""

    answers: CalibrationName = answers_to_read()
    prompts: int = prompts_to_read(128)
