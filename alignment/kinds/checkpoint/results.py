"""What is known of a kept checkpoint."""

from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class CheckpointResults(ModelResults):
    """The card of a model that was still learning."""

    steps: int | None = result(_("Steps"))
