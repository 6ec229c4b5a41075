"""What is known of a model that somebody brought."""

from alignment.seam.results import ModelResults, result
from alignment.seam.words import _


class ImportResults(ModelResults):
    """The card of a model."""

    hub_name: str | None = result(_("Hub name"))
    revision: str | None = result(_("Revision"))
    architecture: str | None = result(_("Architecture"))
    layers: int | None = result(_("Layers"))
    vocabulary: int | None = result(_("Vocabulary"))
    context_length: int | str | None = result(_("Context length"))
    dtype: str | None = result(_("Dtype"))
    merged: str | None = result(_("Merged"))
    encoder: bool | None = result(_("Encoder"))
    rater: bool | None = result(_("Rates answers"))
    chat_template: bool | None = result(_("Chat template"))
    prompt_ends_with: str | None = result(_("A prompt ends with"))
    answers_end_with: str | None = result(_("An answer ends with"))
    turn_closes_with: str | None = result(_("A turn closes with"))
    tolerance: float | None = result(_("Tolerance"))
    memory: dict[str, int] | None = result(_("Memory"), aside=True)
    bytes: int | None = result(_("Bytes"))
