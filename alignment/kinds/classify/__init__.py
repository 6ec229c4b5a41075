"""Train a classifier."""

from dataclasses import replace

from alignment.kinds.classify.results import CURVES, ClassifyResults
from alignment.kinds.classify.settings import ClassifyConfig
from alignment.kinds.fitting import fit_seconds
from alignment.kinds.inputs import JUDGED
from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind
from alignment.kinds.settings.words import times
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def needed_memory(config: ClassifyConfig, shape: memory.Shape | None) -> int:
    """Bytes: the backbone that learns; classes have no logits worth a word."""
    if shape is None:
        return 0
    return (
        memory.trained(shape, moments=config.moments(shape.width))
        + memory.read(shape, int(config.keeps_best))
        + memory.part(shape)
    )


def needed_seconds(config: ClassifyConfig, timing: Timing) -> float:
    """What is learned from in every epoch, and what only measures."""
    return fit_seconds(config, timing)


def sentence(config: ClassifyConfig, given: Given) -> str:
    """What such a run will do."""
    sources = {
        "flags": _("from {judged} whether an answer is flagged"),
        "verdicts": _("from {judged} whether an answer is good"),
        "file": _("the classes in {texts}"),
    }
    source = sources["file" if config.source == "file" else config.meaning]
    some = _(
        "Learns {source}, which it sees {times}, starting from {backbone}; but for {held_out:.0f} % of it, which "
        "only measures how well classes are told."
    )
    every = _("Learns {source}, which it sees {times}, starting from {backbone}.")
    return said(
        some if config.held_out else every,
        source=said(source, **given.names),
        times=times(config.epochs),
        backbone=given.names["backbone"],
        held_out=100 * config.held_out,
    )


KIND = Kind(
    name="classify",
    title=_("Train a classifier"),
    lead=_(
        "It tells the classes of texts, learned from a file or from what people flagged here; alignment can wish for "
        "a class, and evaluation count it."
    ),
    group=Group.ALIGN,
    makes=(ArtifactType.CLASSIFIER,),
    made=_("a classifier"),
    suggested=_("Classifier"),
    opened=("Classes", "Training"),
    settings=ClassifyConfig,
    results=ClassifyResults,
    curves=CURVES,
    inputs=(
        Input(
            role="backbone",
            types=(ArtifactType.MODEL, ArtifactType.ENCODER),
            title=_("Classifier starts from"),
            help=_("A language model or an encoder; it stays as it is."),
        ),
        replace(JUDGED, empty=_("choose a snapshot"), when={"source": ("people",)}),
        Input(
            role="texts",
            types=(ArtifactType.TEXTS,),
            title=_("Texts"),
            help=_("The file of texts and their classes."),
            empty=_("choose a file"),
            when={"source": ("file",)},
        ),
    ),
    prompts=None,
    run="alignment.kinds.classify.run:classify",
    command="classify",
    shared=True,
    saves=True,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
