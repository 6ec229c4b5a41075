"""Keep a checkpoint of an alignment as a model."""

from dataclasses import replace

from alignment.kinds.align import KIND as ALIGN
from alignment.kinds.checkpoint.results import CheckpointResults
from alignment.kinds.checkpoint.settings import CheckpointConfig
from alignment.kinds.kind import ArtifactType, Given, Input, Kind
from alignment.seam import memory
from alignment.seam.words import _, said


def needed_memory(_config: CheckpointConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model as it was saved, and as it is stored."""
    return memory.read(shape, 2) if shape else 0


def sentence(config: CheckpointConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _("Keeps what {policy} had become after {step} steps of run {run} as a model."),
        policy=given.names["policy"],
        step=config.step,
        run=config.of_run,
    )


KIND = Kind(
    name="checkpoint",
    title=_("Keep a checkpoint"),
    lead=_("What a run had learned by one of its steps, as a model."),
    group=None,
    makes=(ArtifactType.MODEL,),
    made=_("a model"),
    suggested=_("Checkpoint"),
    opened=(),
    settings=CheckpointConfig,
    results=CheckpointResults,
    curves=(),
    # What the run reads, which its checkpoint is made of too: none of it is read again but the model it began with.
    inputs=(
        Input(role="checkpoint"),
        *(replace(one, rows=None, instead={}, files=()) for one in ALIGN.artifacts),
    ),
    prompts=None,
    run="alignment.kinds.checkpoint.run:keep_checkpoint",
    command="",
    shared=False,
    saves=False,
    encoder_decoders=ALIGN.encoder_decoders,
    memory=needed_memory,
    sentence=sentence,
)
