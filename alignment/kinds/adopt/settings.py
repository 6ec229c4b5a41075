"""Settings of runs that take a model for classes as a reward model."""

from collections.abc import Mapping
from typing import Literal

from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _

EndingName = Literal["closed", "ended", "open"]
ENDINGS: Mapping[EndingName, str] = {
    "closed": _("As the chat template writes it, to its end"),
    "ended": _("That, and the token that ends a text"),
    "open": _("Without what closes the turn"),
}


class AdoptConfig(Settings):
    """A model for classes, or for a number, as a reward model: one of its outputs is the reward."""

    class_name: str = setting(
        "",
        _("Class"),
        help=_(
            "Whose value is the reward, by its name or its number from 0 on; empty is the only one, or the last."
        ),
        topic=_("Reward model"),
        max_length=100,
    )
    reads: EndingName = setting(
        "closed",
        _("An answer is read"),
        help=_(
            "As the model learned to read: most read what the chat template writes, models of TRL's trainer with "
            "the end of a text behind it. Encoders read prompt and answer between their own marks."
        ),
        topic=_("Reward model"),
        choices=ENDINGS,
    )
    overlong: OverlongName = overlong(_("Reward model"))
