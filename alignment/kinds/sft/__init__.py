"""Imitate answers."""

from dataclasses import replace

from alignment.kinds.fitting import fit_seconds, share_apart
from alignment.kinds.inputs import HELD_LABELS, LABELS, POLICY
from alignment.kinds.kind import ArtifactType, Given, Group, Kind, Rows
from alignment.kinds.settings.words import times
from alignment.kinds.sft.results import CURVES, SftResults
from alignment.kinds.sft.settings import SftConfig
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def needed_memory(config: SftConfig, shape: memory.Shape | None) -> int:
    """Bytes: the policy that learns."""
    rounded = config.base_weights == "nf4"
    return (
        memory.trained(shape, config.lora_rank, config.moments(shape.width), four_bits=rounded)
        + memory.read(shape, int(config.keeps_best and not config.lora_rank))
        + memory.learning(shape)
        if shape
        else 0
    )


def needed_seconds(config: SftConfig, timing: Timing) -> float:
    """What is learned from in every epoch, and what only measures."""
    return fit_seconds(config, timing)


def sentence(config: SftConfig, given: Given) -> str:
    """What such a run will do."""
    preferred = _(
        "{policy} learns to imitate the preferred answers in the {pairs:,} {labels} pairs of {snapshot}, "
        "which it sees {times}, but for {held_out:.0f} % of the prompts, which only measure."
    )
    written = _(
        "{policy} learns to imitate the {written:,} {labels} answers of {snapshot} that people wrote, and the "
        "preferred ones of its {pairs:,} pairs; it sees them {times}, but for {held_out:.0f} % of the prompts, "
        "which only measure."
    )
    preferred_all = _(
        "{policy} learns to imitate the preferred answers in the {pairs:,} {labels} pairs of {snapshot}, "
        "which it sees {times}."
    )
    written_all = _(
        "{policy} learns to imitate the {written:,} {labels} answers of {snapshot} that people wrote, and the "
        "preferred ones of its {pairs:,} pairs; it sees them {times}."
    )
    apart = share_apart(config)
    if not apart:
        preferred, written = preferred_all, written_all
    return said(
        written if given.written else preferred,
        policy=given.names["policy"],
        snapshot=given.names["labels"],
        pairs=given.pairs,
        written=given.written,
        labels=config.labels,
        times=times(config.epochs),
        held_out=100 * apart,
    )


KIND = Kind(
    name="sft",
    title=_("Fine-tune on answers"),
    lead=_(
        "A model imitates the answers that people wrote or preferred (SFT): a good start for whatever follows."
    ),
    group=Group.MODEL,
    makes=(ArtifactType.MODEL,),
    made=_("a model"),
    suggested=_("Fine-tuned model"),
    opened=("Imitation",),
    settings=SftConfig,
    results=SftResults,
    curves=CURVES,
    inputs=(
        POLICY,
        replace(LABELS, files=("demonstrations", "pairs"), rows=Rows.IMITATED),
        replace(HELD_LABELS, rows=Rows.IMITATED),
    ),
    prompts=None,
    run="alignment.kinds.sft.run:imitate",
    command="sft",
    shared=True,
    saves=True,
    encoder_decoders={"packing": ("false",)},
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
