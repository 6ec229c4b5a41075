"""Train a small model from nothing."""

from alignment.kinds.kind import ArtifactType, Given, Group, Kind
from alignment.kinds.pretrain.results import CURVES, PretrainResults
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.seam import memory
from alignment.seam.words import _, said


def shape_of(config: PretrainConfig) -> memory.Shape:
    """The model that these settings make: GPT-2's architecture with tied embeddings."""
    width, layers = config.width, config.layers
    parameters = (config.vocabulary + config.context) * width + layers * 12 * width**2
    return memory.Shape(
        parameters, layers, width, config.heads, width, config.vocabulary, config.context
    )


def needed_memory(config: PretrainConfig, _shape: memory.Shape | None) -> int:
    """Bytes: the weights with their moments, and one batch with its logits."""
    shape = shape_of(config)
    tokens = config.batch * config.context
    kept = memory.activations(shape, config.batch, config.context)
    return memory.trained(shape) + kept + memory.LOGITS * memory.FLOAT * tokens * shape.vocabulary


def sentence(config: PretrainConfig, _given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Trains a model of {layers} layers of width {width} from scratch, in {steps:,} steps on "
            "{documents:,} generated documents."
        ),
        **config.model_dump(),
    )


KIND = Kind(
    name="pretrain",
    title=_("Train the starter model"),
    lead=_(
        "A small language model from scratch, of a corpus that a grammar writes; minutes on a laptop."
    ),
    group=Group.MODEL,
    makes=(ArtifactType.MODEL,),
    made=_("a model"),
    suggested=_("Starter"),
    opened=("Corpus", "Model", "Training"),
    settings=PretrainConfig,
    results=PretrainResults,
    curves=CURVES,
    inputs=(),
    prompts=None,
    run="alignment.kinds.pretrain.run:pretrain",
    command="train-starter",
    shared=False,
    saves=False,
    memory=needed_memory,
    sentence=sentence,
)
