"""Settings of a small model that is trained from nothing."""

from pydantic import model_validator

from alignment.seam.settings import ConflictError, Settings, setting


class PretrainConfig(Settings):
    """A small causal language model trained from scratch on a generated corpus."""

    documents: int = setting(
        6000,
        "Documents",
        help="Instruction and answer pairs the grammar writes for training.",
        topic="Corpus",
        ge=100,
        le=1_000_000,
    )
    layers: int = setting(
        2, "Layers", help="Transformer blocks of the model.", topic="Model", ge=1, le=48
    )
    width: int = setting(
        128, "Width", help="Size of the hidden states.", topic="Model", ge=16, le=4096
    )
    heads: int = setting(
        4,
        "Heads",
        help="Attention heads; the width must divide by them.",
        topic="Model",
        ge=1,
        le=64,
    )
    vocabulary: int = setting(
        2048,
        "Vocabulary",
        help="Entries of the byte-level BPE tokenizer.",
        topic="Model",
        unit="tokens",
        ge=300,
        le=65536,
    )
    context: int = setting(
        128,
        "Context length",
        help="Longest prompt and completion together.",
        topic="Model",
        unit="tokens",
        ge=32,
        le=8192,
    )
    steps: int = setting(
        700, "Steps", help="Optimizer steps.", topic="Training", ge=1, le=1_000_000
    )
    batch: int = setting(
        32, "Batch", help="Documents per step.", topic="Training", unit="documents", ge=1, le=4096
    )
    learning_rate: float = setting(
        3e-3, "Learning rate", help="Peak of the cosine schedule.", topic="Training", gt=0, le=0.1
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "PretrainConfig":
        if self.width % self.heads:
            raise ConflictError(
                "heads", f"width {self.width} does not divide by {self.heads} heads"
            )
        return self
