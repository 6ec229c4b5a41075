"""A toy kind of run: a reward model's scores of stored answers, with the features that they are made of."""

from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind, Rows, Work
from alignment.seam import memory
from alignment.seam.curves import Curve
from alignment.seam.words import _, said
from tests.toys.runs.gauge.results import GaugeResults
from tests.toys.runs.gauge.settings import GaugeConfig


def needed_memory(config: GaugeConfig, shape: memory.Shape | None) -> int:
    return memory.read(shape) if shape else 0


def sentence(config: GaugeConfig, given: Given) -> str:
    return said(
        _("Gauges the answers in {answers} by {reward}, {batch} at once."),
        answers=given.names["completions"],
        reward=given.names["reward"],
        batch=config.batch,
    )


FIELDS = {
    "name": "gauge",
    "title": "Gauge answers",
    "lead": "A reward model reads what is there.",
    "group": Group.LOOK,
    "makes": (ArtifactType.SCORES,),
    "made": "scores and features",
    "suggested": "Scores",
    "opened": ("Scoring",),
    "settings": GaugeConfig,
    "results": GaugeResults,
    "curves": (Curve("score/mean", "Mean score", "reward"),),
    "inputs": (
        Input(
            role="reward",
            types=(ArtifactType.REWARD,),
            title="Reward model",
            help="Whose scores they are.",
        ),
        Input(
            role="completions",
            types=(ArtifactType.COMPLETIONS,),
            title="Answers",
            help="What is scored.",
            rows=Rows.STORED,
        ),
    ),
    "prompts": None,
    "run": "tests.toys.runs.gauge.run:gauge",
    "command": "",
    "shared": False,
    "saves": False,
    "memory": needed_memory,
    "sentence": sentence,
    "work": Work.LIVE,
}
KIND = Kind(**FIELDS)
