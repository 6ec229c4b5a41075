"""Keep a model in eight bits."""

from alignment.kinds.costs import (
    COST_CURVES,
    COST_INPUTS,
    HELD_OUT,
    TRAINING,
    compared_seconds,
    needed_memory,
)
from alignment.kinds.kind import ArtifactType, Given, Group, Kind
from alignment.kinds.quantise.results import QuantiseResults
from alignment.kinds.quantise.settings import SCHEMES, QuantiseConfig
from alignment.seam import memory
from alignment.seam.words import _, said


def memory_of_quantising(config: QuantiseConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model and its copy in eight bits, which answer prompts."""
    return needed_memory(shape, config.completions_per_prompt)


def sentence(config: QuantiseConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Keeps the linear layers of {policy} in eight bits ({scheme}), and compares both on {prompts} "
            "held-out prompts, {completions} answers each."
        ),
        policy=given.names["policy"],
        scheme=said(SCHEMES[config.scheme]),
        prompts=config.held_out_prompts,
        completions=config.completions_per_prompt,
    )


KIND = Kind(
    name="quantise",
    title=_("Quantise to eight bits"),
    lead=_(
        "A quarter of the size and faster on a CPU: weights in eight bits, with what that costs."
    ),
    group=Group.SMALLER,
    makes=(ArtifactType.MODEL,),
    made=_("a smaller model"),
    suggested=_("INT8 model"),
    opened=("Eight bits",),
    settings=QuantiseConfig,
    results=QuantiseResults,
    curves=COST_CURVES,
    inputs=COST_INPUTS,
    prompts=TRAINING,
    held_out=HELD_OUT,
    run="alignment.kinds.quantise.run:quantise",
    command="quantise",
    shared=False,
    saves=True,
    memory=memory_of_quantising,
    seconds=compared_seconds,
    sentence=sentence,
)
