"""A toy kind of run: a reward model's scores of stored answers, with the features that they are made of."""

from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind, Rows, Work
from alignment.seam import memory
from alignment.seam.curves import Curve
from alignment.seam.words import _, said
from tests.toys.runs.score.results import ScoreResults
from tests.toys.runs.score.settings import ScoreConfig


def needed_memory(config: ScoreConfig, shape: memory.Shape | None) -> int:
    return memory.read(shape) if shape else 0


def sentence(config: ScoreConfig, given: Given) -> str:
    return said(
        _("Scores the answers in {answers} by {reward}, {batch} at once."),
        answers=given.names["completions"],
        reward=given.names["reward"],
        batch=config.batch,
    )


FIELDS = {
    "name": "score",
    "title": "Score answers",
    "lead": "A reward model reads answers that are there already.",
    "group": Group.LOOK,
    "makes": (ArtifactType.SCORES,),
    "made": "scores and features",
    "suggested": "Scores",
    "opened": ("Scoring",),
    "settings": ScoreConfig,
    "results": ScoreResults,
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
    "run": "tests.toys.runs.score.run:score",
    "command": "",
    "shared": False,
    "saves": False,
    "memory": needed_memory,
    "sentence": sentence,
    "work": Work.LIVE,
}
KIND = Kind(**FIELDS)
