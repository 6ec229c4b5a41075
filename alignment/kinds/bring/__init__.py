"""Bring somebody's own model."""

from alignment.kinds.bring.results import ImportResults
from alignment.kinds.bring.settings import ImportConfig
from alignment.kinds.kind import ArtifactType, Given, Input, Kind
from alignment.seam import memory
from alignment.seam.words import _, said


def needed_memory(_config: ImportConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model as it is read and as it is stored; nobody knows of one that is not here yet."""
    return memory.read(shape, 2) if shape else 0


def sentence(config: ImportConfig, _given: Given) -> str:
    """What such a run will do."""
    return said(_("Fetches {name}, checks and tries it, and keeps it."), name=config.name)


KIND = Kind(
    name="import",
    title=_("Add a model"),
    lead=_(
        "Somebody's own model, or a LoRA adapter of a known one: fetched, checked, tried and kept."
    ),
    group=None,
    makes=(ArtifactType.MODEL, ArtifactType.ENCODER, ArtifactType.CLASSIFIER),
    made=_("a model"),
    suggested=_("Model"),
    opened=(),
    settings=ImportConfig,
    results=ImportResults,
    curves=(),
    inputs=(  # source may not leave root; what the Hub has needs neither
        Input(role="source", optional=True),
        Input(role="root", optional=True),
        Input(role="base", types=(ArtifactType.MODEL,), title=_("Base model"), optional=True),
    ),
    prompts=None,
    run="alignment.kinds.bring.run:add",
    command="",
    shared=False,
    saves=False,
    memory=needed_memory,
    sentence=sentence,
)
