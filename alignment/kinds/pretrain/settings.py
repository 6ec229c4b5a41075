"""Settings of a small model that is trained from nothing."""

from pydantic import model_validator

from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _, said


class PretrainConfig(Settings):
    """A small causal language model trained from scratch on a generated corpus."""

    documents: int = setting(
        6000,
        _("Documents"),
        help=_("Instruction and answer pairs the grammar writes for training."),
        topic=_("Corpus"),
        ge=100,
        le=1_000_000,
    )
    layers: int = setting(
        2, _("Layers"), help=_("Transformer blocks of the model."), topic=_("Model"), ge=1, le=48
    )
    width: int = setting(
        128, _("Width"), help=_("Size of the hidden states."), topic=_("Model"), ge=16, le=4096
    )
    heads: int = setting(
        4,
        _("Heads"),
        help=_("Attention heads; the width must divide by them."),
        topic=_("Model"),
        ge=1,
        le=64,
    )
    vocabulary: int = setting(
        2048,
        _("Vocabulary"),
        help=_("Entries of the byte-level BPE tokenizer."),
        topic=_("Model"),
        unit=_("tokens"),
        ge=300,
        le=65536,
    )
    context: int = setting(
        128,
        _("Context length"),
        help=_("Longest prompt and completion together."),
        topic=_("Model"),
        unit=_("tokens"),
        ge=32,
        le=8192,
    )
    steps: int = setting(
        300, _("Steps"), help=_("Optimizer steps."), topic=_("Training"), ge=1, le=1_000_000
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Documents per step."),
        topic=_("Training"),
        unit=_("documents"),
        ge=1,
        le=4096,
    )
    learning_rate: float = setting(
        0.02,
        _("Learning rate"),
        help=_("Peak of the cosine schedule."),
        topic=_("Training"),
        gt=0,
        le=0.1,
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "PretrainConfig":
        if self.width % self.heads:
            raise ConflictError(
                "heads",
                said(
                    _("width {width} does not divide by {heads} heads"),
                    width=self.width,
                    heads=self.heads,
                ),
            )
        return self
