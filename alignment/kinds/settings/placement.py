"""Settings of where the weights of models are while a run computes."""

from collections.abc import Mapping
from typing import Any, Literal

from alignment.seam.settings import ALWAYS, setting
from alignment.seam.words import _

PlacementName = Literal["one", "spread"]
PLACEMENTS: Mapping[PlacementName, str] = {
    "one": _("One"),
    "spread": _("All, layer by layer"),
}


def placed(
    help: str, *, when: Mapping[str, tuple[str, ...]] = ALWAYS, beside: tuple[str, ...] = ()
) -> Any:  # noqa: ANN401 - as `setting`
    """Whether models are on one device each, or spread over all."""
    return setting(
        "one",
        _("Devices"),
        help=help,
        topic=_("Computation"),
        advanced=True,
        choices=PLACEMENTS,
        when=when,
        beside=beside,
    )


READ_ON = _(
    "A model that does not fit one GPU is spread over all that there are. What fits none of them stays in memory, "
    "or on the disk, and is fetched for each forward, which is slow."
)
LEARNED_ON = _(
    "A model that does not fit one GPU is spread over all that there are; all of it has to fit them."
)
