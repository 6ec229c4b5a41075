"""Settings of a model that is trained on texts, from nothing or on from another."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import model_validator

from alignment.kinds.settings.computation import (
    ComputationSettings,
    PrecisionName,
    saved_every,
)
from alignment.kinds.settings.gradient import GradientName, GradientSettings
from alignment.seam.settings import ConflictError, Settings, narrowed, setting
from alignment.seam.words import _, said

SourceName = Literal["grammar", "file"]
SOURCES: Mapping[SourceName, str] = {
    "grammar": _("A grammar that writes it"),
    "file": _("A file"),
}
DocumentName = Literal["paragraph", "line", "file"]
DOCUMENTS: Mapping[DocumentName, str] = {
    "paragraph": _("A paragraph, up to a blank line"),
    "line": _("A line"),
    "file": _("The whole file"),
}
BadName = Literal["refuse", "leave_out"]
BAD: Mapping[BadName, str] = {
    "refuse": _("Refuse the run"),
    "leave_out": _("Leave out and count"),
}
ModelName = Literal["new", "continued"]
MODELS: Mapping[ModelName, str] = {
    "new": _("A new model"),
    "continued": _("A model that is here, trained on"),
}
SizeName = Literal["own", "small", "medium", "large"]
SIZES: Mapping[SizeName, str] = {
    "own": _("As below"),
    "small": _("Small: 4 layers of width 256"),
    "medium": _("Medium: 8 layers of width 512"),
    "large": _("Large: 12 layers of width 768"),
}
TokenizationName = Literal["trained", "taken"]
TOKENIZATIONS: Mapping[TokenizationName, str] = {
    "trained": _("Trained on the corpus"),
    "taken": _("A model's, as it is"),
}
ObjectiveName = Literal["clm", "mlm", "infilling", "span_corruption"]
OBJECTIVES: Mapping[ObjectiveName, str] = {
    "clm": _("The next token (CLM)"),
    "mlm": _("Masked tokens (MLM)"),
    "infilling": _("The next token and missing middles (infilling)"),
    "span_corruption": _("Spans that are cut out (an encoder-decoder)"),
}
FamilyName = Literal["t5", "bart"]
ENCODER_DECODERS: Mapping[FamilyName, str] = {
    "t5": _("As T5: relative positions"),
    "bart": _("As BART: learned positions"),
}

GRAMMAR, FILE = {"source": ("grammar",)}, {"source": ("file",)}
MLM, INFILLING = {"objective": ("mlm",)}, {"objective": ("infilling",)}
SPANS = {"objective": ("span_corruption",)}
NEW = {"model": ("new",)}


class Dimensions(NamedTuple):
    """What decides the size of a new model's blocks."""

    layers: int
    width: int
    heads: int


PRESETS: Mapping[SizeName, Dimensions] = {
    "small": Dimensions(4, 256, 4),
    "medium": Dimensions(8, 512, 8),
    "large": Dimensions(12, 768, 12),
}


class CorpusSettings(Settings):
    """What the model is trained on."""

    source: SourceName = setting(
        "grammar",
        _("Corpus"),
        help=_("Questions and answers that a grammar writes, or documents of a file."),
        topic=_("Corpus"),
        choices=SOURCES,
    )
    documents: int = setting(
        6000,
        _("Documents"),
        help=_("Instruction and answer pairs the grammar writes for training."),
        topic=_("Corpus"),
        ge=100,
        le=1_000_000,
        when=GRAMMAR,
    )
    document: DocumentName = setting(
        "paragraph",
        _("A document of plain text is"),
        help=_("What belongs together; of JSON lines and Parquet it is a row."),
        topic=_("Corpus"),
        choices=DOCUMENTS,
        when=FILE,
    )
    column: str = setting(
        "",
        _("Column"),
        help=_("Of JSON lines and Parquet, the one that holds the text; empty means “text”."),
        topic=_("Corpus"),
        max_length=100,
        when=FILE,
        advanced=True,
    )
    bad_lines: BadName = setting(
        "refuse",
        _("Lines that cannot be read"),
        help=_("Each is named by its line and column; how many they were is said."),
        topic=_("Corpus"),
        choices=BAD,
        when=FILE,
        advanced=True,
    )
    held_out: float = setting(
        0.05,
        _("Held-out share"),
        help=_("Share of the documents that only measure the result; equal ones stay together."),
        topic=_("Corpus"),
        ge=0.001,
        le=0.5,
        when=FILE,
        advanced=True,
    )
    limit_gib: float = setting(
        16.0,
        _("Largest size"),
        help=_("A corpus that unpacks to more is refused."),
        topic=_("Corpus"),
        unit=_("GiB"),
        gt=0,
        le=10_000,
        when=FILE,
        advanced=True,
    )


class ArchitectureSettings(Settings):
    """The model and the tokens that it reads."""

    model: ModelName = setting(
        "new",
        _("Model"),
        help=_("One with random weights, or one whose weights are trained on."),
        topic=_("Model"),
        choices=MODELS,
    )
    size: SizeName = setting(
        "own",
        _("Size"),
        help=_("Of a new model's blocks: a preset, or the three numbers below."),
        topic=_("Model"),
        choices=SIZES,
        when=NEW,
    )
    layers: int = setting(
        2,
        _("Layers"),
        help=_("Transformer blocks of the model."),
        topic=_("Model"),
        ge=1,
        le=48,
        when=NEW | {"size": ("own",)},
    )
    width: int = setting(
        128,
        _("Width"),
        help=_("Size of the hidden states."),
        topic=_("Model"),
        ge=16,
        le=4096,
        when=NEW | {"size": ("own",)},
    )
    heads: int = setting(
        4,
        _("Heads"),
        help=_("Attention heads; the width must divide by them."),
        topic=_("Model"),
        ge=1,
        le=64,
        when=NEW | {"size": ("own",)},
    )
    tokenization: TokenizationName = setting(
        "trained",
        _("Tokenizer"),
        help=_("Byte-level BPE that is trained on the corpus, or another model's."),
        topic=_("Model"),
        choices=TOKENIZATIONS,
        when=NEW,
        advanced=True,
    )
    vocabulary: int = setting(
        2048,
        _("Vocabulary"),
        help=_("Entries of the byte-level BPE tokenizer."),
        topic=_("Model"),
        unit=_("tokens"),
        ge=300,
        le=65536,
        when=NEW | {"tokenization": ("trained",)},
    )
    context: int = setting(
        128,
        _("Context length"),
        help=_(
            "Longest prompt and completion together; of a model that is trained on, at most its own."
        ),
        topic=_("Model"),
        unit=_("tokens"),
        ge=32,
        le=8192,
    )

    @property
    def dimensions(self) -> Dimensions:
        """Of a new model: its preset's, or the settings'."""
        return PRESETS.get(self.size) or Dimensions(self.layers, self.width, self.heads)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ArchitectureSettings":
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


class PretrainingObjective(Settings):
    """What is predicted from what."""

    objective: ObjectiveName = setting(
        "clm",
        _("Objective"),
        help=_(
            "What the model learns to predict. Masked tokens make an encoder, which reads both ways and can be "
            "the backbone of a reward model; cut spans an encoder-decoder; the others make a causal model."
        ),
        topic=_("Objective"),
        choices=OBJECTIVES,
    )
    chosen_share: float = setting(
        0.15,
        _("Chosen share"),
        help=_("Share of the tokens that are predicted; the loss is theirs alone."),
        topic=_("Objective"),
        gt=0,
        le=0.9,
        when=MLM,
        advanced=True,
    )
    masked_share: float = setting(
        0.8,
        _("Masked share"),
        help=_("Of the chosen tokens, those in whose place the mask stands."),
        topic=_("Objective"),
        ge=0,
        le=1,
        when=MLM,
        advanced=True,
    )
    random_share: float = setting(
        0.1,
        _("Random share"),
        help=_("Of the chosen tokens, those in whose place any token stands; the rest stay."),
        topic=_("Objective"),
        ge=0,
        le=1,
        when=MLM,
        advanced=True,
    )
    infilled_share: float = setting(
        0.5,
        _("Infilled share"),
        help=_("Share of the documents whose middle is written last, behind what follows it."),
        topic=_("Objective"),
        gt=0,
        le=1,
        when=INFILLING,
        advanced=True,
    )

    family: FamilyName = setting(
        "t5",
        _("Architecture"),
        help=_("Of a new encoder-decoder; it has as many layers on either side."),
        topic=_("Objective"),
        choices=ENCODER_DECODERS,
        when=SPANS | {"model": ("new",)},
    )
    span_share: float = setting(
        0.15,
        _("Share cut out"),
        help=_("Share of the tokens that the decoder tells."),
        topic=_("Objective"),
        gt=0,
        le=0.4,
        when=SPANS,
        advanced=True,
    )
    span_length: float = setting(
        3.0,
        _("Mean length of a span"),
        help=_("Of what is cut out in one place."),
        topic=_("Objective"),
        unit=_("tokens"),
        ge=2,
        le=100,
        when=SPANS,
        advanced=True,
    )

    @model_validator(mode="after")
    def _shares_are_one_at_most(self) -> "PretrainingObjective":
        if self.masked_share + self.random_share > 1:
            raise ConflictError(
                "random_share", said(_("masked and random share are more than 1 together"))
            )
        return self


class LengthSettings(Settings):
    """How long and how fast the model is trained."""

    steps: int = setting(
        300,
        _("Steps"),
        help=_("Optimizer steps."),
        topic=_("Training"),
        ge=1,
        le=1_000_000,
        when=GRAMMAR,
    )
    batch: int = setting(
        32,
        _("Batch"),
        help=_("Documents of the grammar, or full contexts of a file, per step."),
        topic=_("Training"),
        unit=_("sequences"),
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
        when=GRAMMAR,
    )
    peak_rate: float = setting(
        1e-3,
        _("Peak learning rate"),
        help=_("Of AdamW, after the warm-up; then half a cosine down. Less for a continued model."),
        topic=_("Training"),
        gt=0,
        le=0.1,
        when=FILE,
    )
    warmup: float = setting(
        0.05,
        _("Warm-up"),
        help=_("Share of the training over which the learning rate rises."),
        topic=_("Training"),
        ge=0,
        le=0.9,
        when=FILE,
        advanced=True,
    )
    epochs: int = setting(
        1,
        _("Epochs"),
        help=_("Passes over the corpus, unless one of the bounds below comes first."),
        topic=_("Training"),
        ge=1,
        le=1000,
        when=FILE,
    )
    most_tokens: int = setting(
        0,
        _("Most tokens"),
        help=_("The training ends with the step that reaches so many; 0 sets no bound."),
        topic=_("Training"),
        unit=_("tokens"),
        ge=0,
        le=10**13,
        when=FILE,
    )
    most_minutes: float = setting(
        0.0,
        _("Most minutes"),
        help=_("The training ends after so long; 0 sets no bound."),
        topic=_("Training"),
        unit=_("minutes"),
        ge=0,
        le=100_000,
        when=FILE,
    )


# In this order the corpus comes first.
class PretrainConfig(
    GradientSettings, LengthSettings, PretrainingObjective, ArchitectureSettings, CorpusSettings
):
    """A language model trained on a corpus: new or continued, causal, masked or infilling."""

    gradient: GradientName = narrowed(GradientSettings, "gradient", **FILE)
    precision: PrecisionName = narrowed(ComputationSettings, "precision", **FILE)
    gradient_checkpointing: bool = narrowed(ComputationSettings, "gradient_checkpointing", **FILE)
    checkpoint_every: int = saved_every(200)

    @model_validator(mode="after")
    def _grammar_makes_new_models(self) -> "PretrainConfig":
        if self.source == "grammar":
            chosen = {"model": "new", "tokenization": "trained", "objective": "clm"}
            for name, only in chosen.items():
                if getattr(self, name) != only:
                    raise ConflictError(
                        name,
                        said(_("the grammar's corpus makes new causal models only; take a file")),
                    )
        return self

    @property
    def computation(self) -> ComputationSettings:
        """How it computes, as runs that can have an adapter say it."""
        return ComputationSettings(
            precision=self.precision, gradient_checkpointing=self.gradient_checkpointing
        )
