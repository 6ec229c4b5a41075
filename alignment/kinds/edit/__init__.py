"""Let a model say other facts."""

from alignment.kinds.costs import (
    COST_INPUTS,
    HELD_OUT,
    TRAINING,
    compared_seconds,
    needed_memory,
)
from alignment.kinds.edit.results import CURVES, EditResults
from alignment.kinds.edit.settings import EditConfig
from alignment.kinds.inputs import FACTS
from alignment.kinds.kind import ArtifactType, Given, Group, Kind
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def memory_of(config: EditConfig, shape: memory.Shape | None) -> int:
    """Bytes: the model, read and changed, and both as they answer prompts."""
    return needed_memory(shape, config.completions_per_prompt, 3)


def needed_seconds(config: EditConfig, timing: Timing) -> float:
    """The steps for each fact, in all its contexts, and what models are compared by."""
    facts = max(1, len(config.lines.splitlines()))
    searched = facts * timing.learning(config.steps * (1 + config.contexts), 1 + config.contexts)
    return searched + compared_seconds(config, timing)


def sentence(config: EditConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "Lets a copy of {policy} say the facts, one after another, and compares both on {prompts} held-out "
            "prompts; the model itself stays as it is."
        ),
        policy=given.names["policy"],
        prompts=config.held_out_prompts,
    )


KIND = Kind(
    name="edit",
    title=_("Edit facts"),
    lead=_("Some answers changed by a small step in one layer, with what else that changes."),
    group=Group.EDIT,
    makes=(ArtifactType.MODEL,),
    made=_("an edited model"),
    suggested=_("Edited model"),
    opened=("Facts",),
    settings=EditConfig,
    results=EditResults,
    curves=CURVES,
    inputs=(*COST_INPUTS, FACTS),
    prompts=TRAINING,
    held_out=HELD_OUT,
    run="alignment.kinds.edit.run:edit",
    command="edit",
    shared=False,
    saves=True,
    memory=memory_of,
    seconds=needed_seconds,
    sentence=sentence,
)
