"""Train a reward model on labels."""

from dataclasses import replace

from alignment.kinds.fitting import fit_seconds, share_apart
from alignment.kinds.inputs import HELD_LABELS, LABELS
from alignment.kinds.kind import NOTHING, ArtifactType, Given, Group, Input, Kind, Rows
from alignment.kinds.reward.results import CURVES, RewardResults
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.settings.words import times
from alignment.seam import memory
from alignment.seam.settings import ALWAYS
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

CURVE = 0.75  # of the labels, that its fits learn from together


def needed_memory(config: RewardConfig, shape: memory.Shape | None) -> int:
    """Bytes: the backbone that learns, or only reads; a reward has no logits."""
    if shape is None:
        return 0
    if config.trunk == "frozen":
        return memory.read(shape) + memory.part(shape)
    rounded = config.base_weights == "nf4"
    whole_twice = int(config.keeps_best and not config.lora_rank)
    return (
        memory.trained(shape, config.lora_rank, config.moments(shape.width), four_bits=rounded)
        + memory.read(shape, whole_twice)
        + memory.part(shape)
    )


def needed_seconds(config: RewardConfig, timing: Timing) -> float:
    """Both answers of a pair, learned from in every epoch of every fit, looked at in the first, and read for zero and unit.

    A backbone that stays as it is reads them once, and heads are fitted to that within next to nothing.
    """
    read = timing.reading(2 * timing.extent.rows)
    if config.trunk == "frozen":
        return read
    further = config.folds + CURVE * (config.learning_curve == "measure")
    unseen = config.model_copy(update={"evaluate_every": 0})
    return fit_seconds(config, timing, 2) + read + further * fit_seconds(unseen, timing, 2)


def sentence(config: RewardConfig, given: Given) -> str:
    """What such a run will do."""
    some = _(
        "Learns from the {pairs:,} {labels} pairs of {snapshot}, seen {times}, to give answers a score, "
        "starting from {backbone}; but for {held_out:.0f} % of the prompts, which only measure how often it "
        "agrees with people."
    )
    every = _(
        "Learns from the {pairs:,} {labels} pairs of {snapshot}, seen {times}, to give answers a score, "
        "starting from {backbone}."
    )
    apart = share_apart(config)
    return said(
        some if apart else every,
        backbone=given.names["backbone"],
        snapshot=given.names["labels"],
        pairs=given.pairs,
        labels=config.labels,
        times=times(config.epochs),
        held_out=100 * apart,
    )


KIND = Kind(
    name="reward",
    title=_("Train a reward model"),
    lead=_(
        "It learns from labels to give every answer a score; alignment and evaluation need one."
    ),
    group=Group.ALIGN,
    makes=(ArtifactType.REWARD,),
    made=_("a reward model"),
    suggested=_("Reward model"),
    opened=("Reward model",),
    settings=RewardConfig,
    results=RewardResults,
    curves=CURVES,
    inputs=(
        Input(
            role="backbone",
            types=(ArtifactType.MODEL, ArtifactType.ENCODER),
            title=_("Reward model starts from"),
            help=_("A language model or an encoder; it learns to give a score."),
        ),
        replace(LABELS, rows=Rows.LABELS),
        replace(HELD_LABELS, rows=Rows.LABELS),
        Input(
            role="reference",
            types=(ArtifactType.MODEL,),
            title=_("Reference"),
            help=_("Read where its samples give the reward its zero and unit."),
            empty=NOTHING,
            when={"centring": ("reference",)},
        ),
    ),
    prompts=None,
    run="alignment.kinds.reward.run:train",
    command="reward",
    shared=True,
    saves=True,
    encoder_decoders=ALWAYS,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
