"""Take weights out of a model."""

from alignment.kinds.costs import (
    COST_CURVES,
    COST_INPUTS,
    HELD_OUT,
    TRAINING,
    compared_seconds,
    needed_memory,
)
from alignment.kinds.kind import ArtifactType, Given, Group, Kind
from alignment.kinds.prune.results import PruneResults
from alignment.kinds.prune.settings import METHODS, PruneConfig
from alignment.seam import memory
from alignment.seam.words import _, said


def memory_of_pruning(config: PruneConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model and its pruned copy, which answer prompts."""
    return needed_memory(shape, config.completions_per_prompt)


def sentence(config: PruneConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Sets {share} of the weights in each linear layer of {policy} to zero, by {method}, and compares "
            "both on {prompts} held-out prompts, {completions} answers each."
        ),
        policy=given.names["policy"],
        share=f"{100 * config.share_pruned:g} %",
        method=said(METHODS[config.method]),
        prompts=config.held_out_prompts,
        completions=config.completions_per_prompt,
    )


KIND = Kind(
    name="prune",
    title=_("Prune weights"),
    lead=_("Weights that count least become zero, so many in each layer, with what that costs."),
    group=Group.SMALLER,
    makes=(ArtifactType.MODEL,),
    made=_("a sparse model"),
    suggested=_("Pruned model"),
    opened=("Pruning",),
    settings=PruneConfig,
    results=PruneResults,
    curves=COST_CURVES,
    inputs=COST_INPUTS,
    prompts=TRAINING,
    held_out=HELD_OUT,
    run="alignment.kinds.prune.run:prune",
    command="prune",
    shared=False,
    saves=True,
    memory=memory_of_pruning,
    seconds=compared_seconds,
    sentence=sentence,
)
