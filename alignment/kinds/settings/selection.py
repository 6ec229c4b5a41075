"""Settings of which labels a run learns from, where it shall not be all of them."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

SelectionName = Literal["all", "random", "k_centre", "d_optimal"]
SELECTIONS: Mapping[SelectionName, str] = {
    "all": _("All"),
    "random": _("By chance"),
    "k_centre": _("k-centre: none is far from those chosen"),
    "d_optimal": _("D-optimal: those that say most"),
}
SOME: Mapping[str, tuple[str, ...]] = {"selection": ("random", "k_centre", "d_optimal")}


class SelectionSettings(Settings):
    """How many labels are learned from, and how they are chosen."""

    selection: SelectionName = setting(
        "all",
        _("Choice of labels"),
        help=_(
            "All, or some: by chance, or by what the backbone sees in them before it has learned, so that "
            "they cover all others (k-centre) or say most of a linear reward (D-optimal)."
        ),
        topic=_("Labels"),
        advanced=True,
        choices=SELECTIONS,
    )
    selected: int = setting(
        500,
        _("Labels chosen"),
        help=_("So many of those that are not held out."),
        topic=_("Labels"),
        unit=_("labels"),
        ge=8,
        le=10**6,
        advanced=True,
        when=SOME,
    )
