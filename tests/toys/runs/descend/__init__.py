"""A toy kind of run: a loss that falls to a depth which its settings decide, with no model at all."""

from alignment.kinds.kind import ArtifactType, Given, Group, Kind
from alignment.seam import memory
from alignment.seam.curves import Curve
from alignment.seam.words import _, said
from tests.toys.runs.descend.results import DescendResults
from tests.toys.runs.descend.settings import DescendConfig


def needed_memory(config: DescendConfig, shape: memory.Shape | None) -> int:
    return 0


def sentence(config: DescendConfig, given: Given) -> str:
    return said(_("Goes down for {steps} steps."), steps=config.steps)


KIND = Kind(
    name="descend",
    title="Go down",
    lead="A loss falls; nothing is learned.",
    group=Group.LOOK,
    makes=(ArtifactType.SCORES,),
    made="a number",
    suggested="Descent",
    opened=("Descent",),
    settings=DescendConfig,
    results=DescendResults,
    curves=(Curve("loss", "Loss", "height"),),
    inputs=(),
    prompts=None,
    run="tests.toys.runs.descend.run:descend",
    command="",
    shared=False,
    saves=False,
    memory=needed_memory,
    sentence=sentence,
)
