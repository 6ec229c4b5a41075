"""Score answers, and say which comparisons would teach most."""

from alignment.kinds.kind import ArtifactType, Given, Group, Input, Kind, Prompts
from alignment.kinds.score.results import CURVES, ScoreResults
from alignment.kinds.score.settings import ScoreConfig
from alignment.seam import memory
from alignment.seam.settings import ALWAYS
from alignment.seam.timing import Timing
from alignment.seam.words import _, said


def needed_memory(config: ScoreConfig, shape: memory.Shape | None) -> int:
    """Bytes: the reward model, and what one of its forwards holds, at most what a backward would keep."""
    return memory.read(shape) + memory.part(shape) if shape else 0


def needed_seconds(config: ScoreConfig, timing: Timing) -> float:
    """Two answers to each prompt at least, each read once."""
    return timing.reading(2 * min(config.prompts, timing.extent.prompts))


def sentence(config: ScoreConfig, given: Given) -> str:
    """What such a run will do."""
    words = (
        _(
            "Scores the answers to {prompts:,} prompts by {reward}, and puts {pairs:,} pairs of them in the order "
            "in which people's comparisons would teach it most."
        )
        if config.pairs
        else _("Scores the answers to {prompts:,} prompts by {reward}.")
    )
    return said(
        words,
        prompts=min(config.prompts, given.prompts),
        reward=given.names["reward"],
        pairs=config.pairs,
    )


KIND = Kind(
    name="score",
    title=_("Score answers"),
    lead=_(
        "A reward model scores answers that are there, and says which of them people should compare next."
    ),
    group=Group.LOOK,
    makes=(ArtifactType.SCORES,),
    made=_("scores, and pairs in order of what they would teach"),
    suggested=_("Scores"),
    opened=("Scoring",),
    settings=ScoreConfig,
    results=ScoreResults,
    curves=CURVES,
    inputs=(
        Input(
            role="reward",
            types=(ArtifactType.REWARD,),
            title=_("Reward model"),
            help=_("Whose scores they are; one with several heads knows where it needs labels."),
        ),
        Input(role="completions"),
        Input(role="asked", optional=True),
    ),
    prompts=Prompts("train", 1),
    run="alignment.kinds.score.run:score_answers",
    command="score",
    shared=False,
    saves=False,
    encoder_decoders=ALWAYS,
    memory=needed_memory,
    seconds=needed_seconds,
    sentence=sentence,
)
