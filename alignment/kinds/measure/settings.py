"""Settings of runs that measure a reward model on labels."""

from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.kinds.settings.splits import SPLITS, SplitName
from alignment.seam.settings import Settings, setting
from alignment.seam.words import _


class MeasureConfig(Settings):
    """How often a reward model prefers what people preferred, beside rules that look at length or side alone."""

    labels: SplitName = setting(
        "validation",
        _("Labels used"),
        help=_("Prompts of this split."),
        topic=_("Measuring"),
        dashboard=True,
        choices=SPLITS,
    )
    overlong: OverlongName = overlong(_("Measuring"))
