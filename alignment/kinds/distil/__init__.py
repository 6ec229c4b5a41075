"""Let a smaller model learn from a larger one."""

from dataclasses import replace

from alignment.kinds.costs import (
    COST_INPUTS,
    HELD_OUT,
    TRAINING,
    compared_seconds,
    needed_memory,
)
from alignment.kinds.distil.results import CURVES, DistilResults
from alignment.kinds.distil.settings import DISTILLATIONS, STUDENT, DistilConfig
from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind
from alignment.seam import memory
from alignment.seam.timing import Timing
from alignment.seam.words import _, said

WRITES_OR_READS = (ArtifactType.MODEL, ArtifactType.ENCODER)
TEACHER, *OTHERS = COST_INPUTS
GIVEN = Input(
    role="student",
    types=WRITES_OR_READS,
    title=_("Student"),
    help=_(
        "A smaller model with the same tokens that learns on; without one it is made of the teacher's layers."
    ),
    empty=_("made of the teacher's layers"),
    topic=STUDENT,
    optional=True,
)


def memory_of(config: DistilConfig, shape: memory.Shape | None) -> int:
    """Bytes: the teacher, and a student that learns, at most as large."""
    if shape is None:
        return 0
    learned = memory.trained(shape, config.lora_rank, config.moments(shape.width))
    learning = memory.read(shape, 1) + learned + memory.learning(shape)
    return max(learning, needed_memory(shape, config.completions_per_prompt))


def needed_seconds(config: DistilConfig, timing: Timing) -> float:
    """The student's steps beside the teacher, and what both are compared by."""
    rows = config.steps * config.batch
    learned = timing.reading(rows, config.batch) + timing.learning(rows, config.batch)
    return learned + compared_seconds(config, timing)


def sentence(config: DistilConfig, given: Given) -> str:
    """What such a run will do."""
    return said(
        _(
            "A smaller model learns from {policy} in {steps:,} steps ({objective}), and is compared with it on "
            "{prompts} held-out prompts, {completions} answers each."
        ),
        policy=given.names["policy"],
        steps=config.steps,
        objective=said(DISTILLATIONS[config.objective]),
        prompts=config.held_out_prompts,
        completions=config.completions_per_prompt,
    )


KIND = Kind(
    name="distil",
    title=_("Distil into a smaller model"),
    lead=_("A student of fewer layers, or a narrower one, learns to answer as its teacher does."),
    group=Group.SMALLER,
    makes=WRITES_OR_READS,
    made=_("a smaller model"),
    suggested=_("Distilled model"),
    opened=("Student", "Distillation"),
    settings=DistilConfig,
    results=DistilResults,
    curves=CURVES,
    inputs=(replace(TEACHER, types=WRITES_OR_READS), *OTHERS, GIVEN),
    prompts=TRAINING,
    held_out=HELD_OUT,
    run="alignment.kinds.distil.run:distil",
    command="distil",
    shared=False,
    saves=True,
    memory=memory_of,
    seconds=needed_seconds,
    sentence=sentence,
)
