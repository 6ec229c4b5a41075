"""Train a policy on pairs without a reward model."""

from dataclasses import replace

from alignment.kinds.fitting import fit_seconds, share_apart
from alignment.kinds.inputs import HELD_LABELS, LABELS, POLICY, REFERENCE
from alignment.kinds.kind import ArtifactType, Given, Group, Kind, Rows
from alignment.kinds.prefer.results import CURVES, PreferResults
from alignment.kinds.prefer.settings import LOSSES, PreferConfig
from alignment.kinds.settings.divergences import DIVERGENCES
from alignment.kinds.settings.words import times
from alignment.seam import memory
from alignment.seam.settings import ALWAYS
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

INSTEAD = {("learned", "thumbs"): Rows.THUMBS, ("loss", "plackett_luce"): Rows.LABELS}
THUMBS = replace(LABELS, files=("pairs", "thumbs", "rankings"), instead=INSTEAD)


def needed_memory(config: PreferConfig, shape: memory.Shape | None) -> int:
    """Bytes: the policy that learns, and its reference."""
    if shape is None:
        return 0
    rounded = config.base_weights == "nf4"
    return (
        memory.trained(shape, config.lora_rank, config.moments(shape.width), four_bits=rounded)
        + memory.read(shape, int(config.keeps_best and not config.lora_rank))
        + memory.read(shape, four_bits=rounded)
        + memory.learning(shape)
    )


def needed_seconds(config: PreferConfig, timing: Timing) -> float:
    """Both answers of a pair, learned from in every epoch, read by the reference, and those that only measure."""
    texts = 1 if config.learned == "thumbs" else 2
    return fit_seconds(config, timing, texts) + timing.reading(texts * timing.extent.rows)


def sentence(config: PreferConfig, given: Given) -> str:
    """What such a run will do."""
    thumbs = _(
        "Trains {policy} on the {alone:,} {labels} answers of {snapshot} that people liked or not, by {how} at "
        "beta {beta:g}, seeing them {times}, but for {held_out:.0f} % of the prompts, which only measure; "
        "{reference} is what it is kept close to."
    )
    pairs = _(
        "Trains {policy} on the {pairs:,} {labels} pairs of {snapshot} by {how} at beta {beta:g}, seeing "
        "them {times}, but for {held_out:.0f} % of the prompts, which only measure; {reference} is what "
        "it is kept close to."
    )
    thumbs_all = _(
        "Trains {policy} on the {alone:,} {labels} answers of {snapshot} that people liked or not, by {how} at "
        "beta {beta:g}, seeing them {times}; {reference} is what it is kept close to."
    )
    pairs_all = _(
        "Trains {policy} on the {pairs:,} {labels} pairs of {snapshot} by {how} at beta {beta:g}, seeing "
        "them {times}; {reference} is what it is kept close to."
    )
    apart = share_apart(config)
    if not apart:
        thumbs, pairs = thumbs_all, pairs_all
    how = said(LOSSES[config.loss])
    if config.loss == "f_dpo":
        how += f" ({said(DIVERGENCES[config.divergence])})"
    return said(
        thumbs if THUMBS.rows_for(config) == Rows.THUMBS else pairs,
        policy=given.names["policy"],
        reference=given.names["reference"],
        snapshot=given.names["labels"],
        pairs=given.pairs,
        alone=given.alone,
        labels=config.labels,
        how=how,
        beta=config.beta,
        times=times(config.epochs),
        held_out=100 * apart,
    )


KIND = Kind(
    name="prefer",
    title=_("Train on preferences"),
    lead=_(
        "Pairs move a model directly, without a reward model and without sampling: f-DPO, IPO or KTO."
    ),
    group=Group.ALIGN,
    makes=(ArtifactType.MODEL,),
    made=_("a model"),
    suggested=_("Preferred model"),
    opened=("Preferences",),
    settings=PreferConfig,
    results=PreferResults,
    curves=CURVES,
    inputs=(POLICY, REFERENCE, THUMBS, replace(HELD_LABELS, instead=INSTEAD)),
    prompts=None,
    run="alignment.kinds.prefer.run:prefer",
    command="prefer",
    shared=True,
    saves=True,
    encoder_decoders=ALWAYS,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
