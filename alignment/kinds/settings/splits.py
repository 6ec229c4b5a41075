"""Which prompts' labels a run learns from."""

from collections.abc import Mapping
from typing import Literal

from alignment.seam.words import _

SplitName = Literal["train", "validation"]
SPLITS: Mapping[SplitName, str] = {
    "train": _("Training prompts"),
    "validation": _("Validation prompts"),
}
