"""Settings of which labels or prompts a run learns from, where it shall not be all of them."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

SelectionName = Literal["all", "random", "k_centre", "d_optimal", "agents"]
SELECTIONS: Mapping[SelectionName, str] = {
    "all": _("All"),
    "random": _("By chance"),
    "k_centre": _("k-centre: none is far from those chosen"),
    "d_optimal": _("D-optimal: those that say most"),
    "agents": _("Agents: each owns a cluster and bids for its next one"),
}
SOME: Mapping[str, tuple[str, ...]] = {
    "selection": ("random", "k_centre", "d_optimal", "agents"),
}


class SelectionSettings(Settings):
    """How many labels are learned from, and how they are chosen."""

    selection: SelectionName = setting(
        "all",
        _("Choice of labels"),
        help=_(
            "All, or some: by chance, or by what the model sees in them before it has learned, so that "
            "they cover all others (k-centre), say most of a linear reward (D-optimal), or are worth most to "
            "agents that own a cluster of them each."
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

    def most_of(self, rows: int) -> int:
        """How many of so many rows are learned from."""
        return rows if self.selection == "all" else min(self.selected, rows)


class PromptSelectionSettings(SelectionSettings):
    """How many prompts are answered, and how they are chosen."""

    selection: SelectionName = setting(
        "all",
        _("Choice of prompts"),
        help=_(
            "All training prompts, or some: by chance, or by what the policy sees in them before it has "
            "learned, so that they cover all others (k-centre), say most of a linear reward (D-optimal), or are "
            "worth most to agents that own a cluster of them each."
        ),
        topic=_("Sampling"),
        advanced=True,
        choices=SELECTIONS,
    )
    selected: int = setting(
        128,
        _("Prompts chosen"),
        help=_("So many of the training prompts."),
        topic=_("Sampling"),
        unit=_("prompts"),
        ge=1,
        le=100_000,
        advanced=True,
        when=SOME,
    )
