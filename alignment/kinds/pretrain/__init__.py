"""Train a language model on texts: a grammar's or a file's, new or on from another."""

from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind
from alignment.kinds.pretrain.results import CURVES, PretrainResults
from alignment.kinds.pretrain.settings import OBJECTIVES, SPANS, PretrainConfig
from alignment.kinds.settings.words import times
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

GRAMMAR = 48  # tokens of what the grammar writes


def shape_of(config: PretrainConfig) -> memory.Shape:
    """The new model that these settings make: blocks as GPT-2's and BERT's, with tied embeddings.

    An encoder-decoder has them on either side, and a third more in its decoder's, which also look at the prompt.
    """
    layers, width, heads = config.dimensions
    matrices = layers * 12
    if config.objective == "span_corruption":
        matrices, layers = layers * (12 + 16), 2 * layers
    parameters = (config.vocabulary + config.context) * width + matrices * width**2
    return memory.Shape(parameters, layers, width, heads, width, config.vocabulary, config.context)


def needed_memory(config: PretrainConfig, start: memory.Shape | None) -> int:
    """Bytes: the weights with their moments, and what one forward keeps with its logits."""
    if config.model == "continued" and start is None:
        return 0
    shape = start if config.model == "continued" and start else shape_of(config)
    length = min(config.context, shape.context)
    at_once = config.batch if config.source == "grammar" else max(1, memory.TOKENS // length)
    kept = memory.activations(shape, at_once, length)
    logits = memory.LOGITS * memory.FLOAT * at_once * length * shape.vocabulary
    return memory.trained(shape, moments=config.moments(shape.width)) + kept + logits


def needed_seconds(config: PretrainConfig, timing: Timing) -> float:
    """What is learned from: documents of a grammar, or a file as often as it is seen."""
    start = timing.extent.shape if config.model == "continued" else None
    if config.model == "continued" and start is None:
        return 0.0
    own = timing.of(start or shape_of(config))
    if config.source == "grammar":
        return own.learning(config.steps * config.batch, config.batch, GRAMMAR)
    tokens = config.epochs * timing.extent.tokens
    tokens = min(tokens, config.most_tokens or tokens)
    length = min(config.context, own.shape.context)
    return own.learning(tokens / length, config.batch, length)


def sentence(config: PretrainConfig, given: Given) -> str:
    """What such a run will do."""
    layers, width, _heads = config.dimensions
    if config.source == "grammar":
        words = _(
            "Trains a model of {layers} layers of width {width} from scratch, in {steps:,} steps on "
            "{documents:,} generated documents."
        )
        counts = {"steps": config.steps, "documents": config.documents}
        return said(words, layers=layers, width=width, **counts)
    named = {
        "corpus": given.names["corpus"],
        "times": times(config.epochs),
        "objective": said(OBJECTIVES[config.objective]),
    }
    if config.model == "continued":
        words = _("{policy} is trained on with {corpus}, which it sees {times}: {objective}.")
        return said(words, policy=given.names["policy"], **named)
    words = _(
        "A new model of {layers} layers of width {width} learns {corpus}, which it sees {times}: "
        "{objective}."
    )
    return said(words, layers=layers, width=width, **named)


KIND = Kind(
    name="pretrain",
    title=_("Pretrain a model"),
    lead=_(
        "A language model learns texts: a small one from what a grammar writes, in minutes on a laptop, or any from "
        "a file of yours, new or on from a model that is here."
    ),
    group=Group.MODEL,
    makes=(ArtifactType.MODEL, ArtifactType.ENCODER),
    made=_("a model"),
    suggested=_("Starter"),
    opened=("Corpus", "Model", "Objective", "Training"),
    settings=PretrainConfig,
    results=PretrainResults,
    curves=CURVES,
    inputs=(
        Input(
            role="corpus",
            types=(ArtifactType.CORPUS,),
            title=_("Corpus"),
            help=_("The file whose documents are learned."),
            when={"source": ("file",)},
        ),
        Input(
            role="policy",
            types=(ArtifactType.MODEL, ArtifactType.ENCODER),
            title=_("Start model"),
            help=_("It stays as it is; the run makes a new model from it."),
            when={"model": ("continued",)},
        ),
        Input(
            role="tokenizer",
            types=(ArtifactType.MODEL, ArtifactType.ENCODER),
            title=_("Tokenizer of"),
            help=_("The model whose tokens a new one reads."),
            when={"model": ("new",), "tokenization": ("taken",)},
        ),
    ),
    prompts=None,
    run="alignment.kinds.pretrain.run:pretrain",
    command="pretrain",
    shared=True,
    saves=True,
    saves_when={"source": ("file",)},
    encoder_decoders=SPANS,
    encoder_decoders_only=SPANS,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
