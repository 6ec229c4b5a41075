"""Inputs that several kinds of run read, in their usual words."""

from alignment.kinds.kind import ITSELF, NOTHING, ArtifactType, Input, Rows
from alignment.kinds.settings.evaluation import OWN
from alignment.kinds.settings.target import CLASSED
from alignment.seam.words import _

POLICY = Input(
    role="policy",
    types=(ArtifactType.MODEL,),
    title=_("Start model"),
    help=_("It stays as it is; the run makes a new model from it."),
)
REFERENCE = Input(
    role="reference",
    types=(ArtifactType.MODEL,),
    title=_("Reference"),
    help=_("What the new model is kept close to."),
    empty=ITSELF,
)
PROMPTS = Input(role="prompts")
LABELS = Input(
    role="labels",
    types=(ArtifactType.SNAPSHOT,),
    title=_("Snapshot"),
    help=_("The frozen labels that are learned from."),
    files=("pairs",),
    rows=Rows.PAIRS,
)
HELD_LABELS = Input(
    role="evaluation",
    types=(ArtifactType.SNAPSHOT,),
    title=_("Snapshot to measure by"),
    help=_(
        "Its labels of the validation prompts are held out, or those of the training prompts where the others are "
        "learned from."
    ),
    topic="Evaluation",
    rows=Rows.PAIRS,
    when=OWN,
)
JUDGED = Input(
    role="judged",
    types=(ArtifactType.SNAPSHOT,),
    title=_("Snapshot"),
    help=_("The frozen labels, with what people flagged beside them."),
    rows=Rows.JUDGED,
)
CLASSIFIER = Input(
    role="classifier",
    types=(ArtifactType.CLASSIFIER,),
    title=_("Classifier"),
    help=_(
        "Whose class is wished for, required or weighed in the target; read where one of these is set."
    ),
    empty=NOTHING,
    beside=CLASSED,
)
REWARD = Input(
    role="reward",
    types=(ArtifactType.REWARD,),
    title=_("Reward model"),
    help=_("Whose score the answers should raise; read where it has a weight in the target."),
    empty=NOTHING,
    beside=("reward_weight",),
)
CODE = Input(
    role="code",
    types=(ArtifactType.CODE,),
    title=_("Reward from code"),
    help=_("A function that gives each answer a number; read where it has a weight in the target."),
    empty=NOTHING,
    files=("code", "reward_function", "reward_command"),
    beside=("code_weight",),
)
FACTS = Input(role="facts", optional=True)  # a file of the command line's
