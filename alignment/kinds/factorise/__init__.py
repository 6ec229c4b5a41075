"""Keep a model's hidden layers as sub-layers of low rank."""

from alignment.kinds.costs import (
    COST_INPUTS,
    HELD_OUT,
    TRAINING,
    compared_seconds,
    needed_memory,
)
from alignment.kinds.factorise.results import CURVES, FactoriseResults
from alignment.kinds.factorise.settings import UNITS, FactoriseConfig
from alignment.kinds.kind import ArtifactType, Given, Group, Kind
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

MATRICES, STEP_BLOCKS = 4, 4  # of a block; blocks' time that a step of one takes
MODELS = 6  # of the original's size: itself, copies, and two sets of sub-layers


def memory_of(config: FactoriseConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model, its sub-layers as they began and became, and copies that are compared."""
    return needed_memory(shape, config.completions_per_prompt, MODELS)


def needed_seconds(config: FactoriseConfig, timing: Timing) -> float:
    """The steps of each layer's sub-layers, the sizes that are tried, and what models are compared by."""
    blocks = MATRICES * timing.shape.layers
    fitted = blocks * config.steps * STEP_BLOCKS * timing.speed.block
    tried = config.sublayers * timing.reading(min(config.prompts, timing.extent.prompts))
    return fitted + tried + compared_seconds(config, timing)


def sentence(config: FactoriseConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Keeps each hidden layer of {policy} as sub-layers of low rank, with a budget of {share} of its "
            "layers' {unit}, and compares both on {prompts} held-out prompts, {completions} answers each."
        ),
        policy=given.names["policy"],
        share=f"{100 * config.share:.0f} %",
        unit=said(UNITS[config.unit]).lower(),
        prompts=config.held_out_prompts,
        completions=config.completions_per_prompt,
    )


KIND = Kind(
    name="factorise",
    title=_("Factorise"),
    lead=_(
        "Hidden layers as sub-layers of low rank, each fitted by itself; as many are used as a budget buys."
    ),
    group=Group.SMALLER,
    makes=(ArtifactType.MODEL,),
    made=_("a smaller model"),
    suggested=_("Factorised model"),
    opened=("Sub-layers",),
    settings=FactoriseConfig,
    results=FactoriseResults,
    curves=CURVES,
    inputs=COST_INPUTS,
    prompts=TRAINING,
    held_out=HELD_OUT,
    run="alignment.kinds.factorise.run:factorise",
    command="factorise",
    shared=False,
    saves=True,
    memory=memory_of,
    seconds=needed_seconds,
    sentence=sentence,
)
