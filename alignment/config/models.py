"""Settings of runs that bring a model into a project."""

import re
from typing import Literal

from pydantic import model_validator

from alignment.config.fields import ConflictError, Settings, setting

SourceName = Literal["hub", "folder", "upload"]
TemplateName = Literal["own", "chatml", "plain"]
HUB_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")


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


class ImportConfig(Settings):
    """Somebody's own model, or a LoRA adapter of a known one: fetched, checked, tried and kept."""

    source: SourceName = setting(
        "folder",
        "Source",
        help="The Hugging Face Hub, a folder that an admin allows, or an upload.",
        topic="Model",
    )
    name: str = setting(
        "",
        "Name at its source",
        help="Owner and name on the Hub; elsewhere only for people.",
        topic="Model",
        max_length=200,
    )
    revision: str = setting(
        "main",
        "Revision",
        help="A branch, tag or commit of the Hub; what it stood for is kept as a commit.",
        topic="Model",
        max_length=100,
    )
    template: TemplateName = setting(
        "own",
        "Chat template",
        help="How a conversation becomes the text that the model reads.",
        topic="Model",
    )
    limit_gib: float = setting(
        20.0,
        "Largest size",
        help="A model with larger files is refused.",
        topic="Model",
        unit="GiB",
        gt=0,
        le=10_000,
        advanced=True,
    )

    @model_validator(mode="after")
    def _names_on_the_hub(self) -> "ImportConfig":
        if self.source == "hub" and not HUB_NAME.fullmatch(self.name):
            raise ValueError(f"“{self.name}” is not a name on the Hub; write owner/name")
        if not REVISION.fullmatch(self.revision):
            raise ValueError(f"“{self.revision}” is not a revision")
        return self
