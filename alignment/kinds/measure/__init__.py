"""Measure a reward model on labels."""

from dataclasses import replace

from alignment.kinds.inputs import LABELS
from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind
from alignment.kinds.measure.results import CURVES, MeasureResults
from alignment.kinds.measure.settings import MeasureConfig
from alignment.seam import memory
from alignment.seam.settings import ALWAYS
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def needed_memory(_config: MeasureConfig, shape: memory.Shape | None) -> int:
    """Bytes: the reward model, and what one of its forwards holds, at most what a backward would keep."""
    return memory.read(shape) + memory.part(shape) if shape else 0


def needed_seconds(_config: MeasureConfig, timing: Timing) -> float:
    """Both answers of a pair are read once."""
    return timing.reading(2 * timing.extent.rows)


def sentence(config: MeasureConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Measures how often {reward} prefers what people preferred in the {pairs:,} {labels} pairs of {snapshot}, "
            "and how often the longer, the shorter or the left answer is that."
        ),
        reward=given.names["reward"],
        snapshot=given.names["labels"],
        pairs=given.pairs,
        labels=config.labels,
    )


KIND = Kind(
    name="measure",
    title=_("Measure a reward model"),
    lead=_(
        "How often it agrees with people, on labels that it never saw, beside rules that read nothing."
    ),
    group=Group.LOOK,
    makes=(ArtifactType.SCORES,),
    made=_("an accuracy with its interval"),
    suggested=_("Measured"),
    opened=("Measuring",),
    settings=MeasureConfig,
    results=MeasureResults,
    curves=CURVES,
    inputs=(
        Input(
            role="reward",
            types=(ArtifactType.REWARD,),
            title=_("Reward model"),
            help=_("The one that is measured."),
        ),
        replace(LABELS, help=_("The frozen labels that it is measured by.")),
    ),
    prompts=None,
    run="alignment.kinds.measure.run:measure_reward",
    command="measure",
    shared=False,
    saves=False,
    encoder_decoders=ALWAYS,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
