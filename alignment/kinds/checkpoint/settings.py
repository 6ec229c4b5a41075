"""Settings of a kept checkpoint: those of the run that saved it, and when."""

from alignment.kinds.align.settings import AlignConfig
from alignment.seam.settings import setting
from alignment.seam.words import _

SAVED = _("Checkpoint")


class CheckpointConfig(AlignConfig):
    """A checkpoint of an alignment kept as a model."""

    of_run: int = setting(
        0, _("Run"), help=_("The number of the run that saved it."), topic=SAVED, ge=0, le=2**31
    )
    step: int = setting(
        0, _("Step"), help=_("After how many steps it was saved."), topic=SAVED, ge=0, le=100_000
    )

    @property
    def alignment(self) -> AlignConfig:
        """The settings of the run itself."""
        return AlignConfig.stored(self.model_dump(include=set(AlignConfig.model_fields)))
