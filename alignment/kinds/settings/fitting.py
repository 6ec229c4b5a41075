"""Settings of what learns from completions that are there already."""

from alignment.kinds.settings.computation import saved_every
from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import Settings
from alignment.seam.words import _


class Fitting(Settings):
    """What every run has that learns from completions which are there already."""

    checkpoint_every: int = saved_every(100)
    overlong: OverlongName = overlong(_("Safety"))
