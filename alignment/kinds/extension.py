"""A run that goes on from another's checkpoint with more steps: what of its settings may be another than there."""

from collections.abc import Mapping
from typing import Any

from alignment.kinds.kind import Kind
from alignment.seam.words import _, said

# Settings that say how long a training is; one of them has to grow.
LENGTHS = ("steps", "epochs", "most_minutes", "most_tokens")
# Others that decide nothing of the steps that are done.
FREE = (
    "schedule", "warmup_share", "decay", "decay_shape", "checkpoint_every", "sample_every", "evaluate_every",
    "patience", "keep_end",
)  # fmt: skip


def lengths_of(kind: Kind) -> tuple[str, ...]:
    """The settings by which a run of this kind becomes longer; none: it cannot be extended."""
    if "keep_end" not in kind.settings.model_fields:
        return ()
    return tuple(name for name in LENGTHS if name in kind.settings.model_fields)


def extension_fault(
    kind: Kind, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[str, str] | None:
    """The setting to change first, and why settings cannot extend a run that had others; None where they can."""
    fields, longer = kind.settings.model_fields, False
    looked = [bool(config.get("evaluate_every")) for config in (before, after)]
    if (
        "evaluation_prompts" in fields and looked[0] != looked[1]
    ):  # prompts that only looks hold out
        words = _("other prompts would be held out than those that were not learned from before")
        return "evaluate_every", said(words)
    for name, value in after.items():
        was = before.get(name, fields[name].default)  # what is newer than that run was as usual
        if value == was:
            continue
        if name in LENGTHS:
            longer |= value > was or not value
        elif name not in FREE:
            words = _(
                "the run that goes on learned with {was}; nothing but its length and its schedule can change"
            )
            return name, said(words, was=was)
    if longer:
        return None
    first = lengths_of(kind)[0]
    words = _("say how much longer it is to be: before it was {was}")
    return first, said(words, was=before.get(first, fields[first].default))
