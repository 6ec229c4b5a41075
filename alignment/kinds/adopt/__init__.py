"""Take a model for classes as a reward model."""

from dataclasses import replace

from alignment.kinds.adopt.results import CURVES, AdoptResults
from alignment.kinds.adopt.settings import AdoptConfig
from alignment.kinds.inputs import LABELS
from alignment.kinds.kind import NOTHING, ArtifactType, Given, Group, Input, Kind
from alignment.seam import memory
from alignment.seam.words import _, said


def needed_memory(_config: AdoptConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model, and what one of its forwards holds, at most what a backward would keep."""
    return memory.read(shape) + memory.part(shape) if shape else 0


def sentence(config: AdoptConfig, given: Given) -> str:
    """What such a run will do."""
    words = _("Takes the class “{name}” of {rater} as a reward.")
    if not config.class_name:
        words = _("Takes the only class of {rater}, or its last one, as a reward.")
    return said(words, name=config.class_name, rater=given.names["rater"])


KIND = Kind(
    name="adopt",
    title=_("Take a classifier as a reward model"),
    lead=_(
        "A reward model, or any classifier, that others trained: one of its outputs becomes a reward or a judge."
    ),
    group=Group.ALIGN,
    makes=(ArtifactType.REWARD,),
    made=_("a reward model"),
    suggested=_("Reward model"),
    opened=("Reward model",),
    settings=AdoptConfig,
    results=AdoptResults,
    curves=CURVES,
    inputs=(
        Input(
            role="rater",
            types=(ArtifactType.CLASSIFIER,),
            title=_("Classifier"),
            help=_("It stays as it is; the reward model is a copy of it."),
        ),
        replace(
            LABELS,
            help=_("Labels whose answers give the reward its zero and its unit."),
            empty=NOTHING,
            optional=True,
        ),
    ),
    prompts=None,
    run="alignment.kinds.adopt.run:adopt",
    command="adopt",
    shared=False,
    saves=False,
    memory=needed_memory,
    sentence=sentence,
)
