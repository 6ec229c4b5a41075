"""The kinds of run that a person may start alone: what each does, reads and makes, in people's words."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args, get_origin

from webapp.projects.models import Split
from webapp.registry.models import Artifact
from webapp.runs.kinds import ROLE_TYPES, RUN_KINDS

FEWEST_HELD_OUT = 8  # prompts an evaluation needs
ITSELF = "the start model itself"


class Role(NamedTuple):
    """How a form asks for one input of a run."""

    title: str
    help: str
    empty: str = ""  # the choice of none, where that is one
    topic: str = ""  # of the settings it stands with; none is the head of the form


ROLES = {
    "policy": Role("Start model", "It stays as it is; the run makes a new model from it."),
    "reference": Role("Reference", "What the new model is kept close to.", ITSELF),
    "backbone": Role(
        "Reward model starts from", "A language model or an encoder; it learns to give a score."
    ),
    "reward": Role(
        "Reward model",
        "Whose score the answers should raise; read where it has a weight in the target.",
        "none",
    ),
    "judge": Role(
        "Judge model",
        "A reward model of other labels than the first, read where labels decide; train one on the "
        "validation labels.",
        "none",
    ),
    "labels": Role("Snapshot", "The frozen labels that are learned from."),
    "completions": Role(
        "Stored completions",
        "Answers that were generated before, by any model or server; read where stored completions "
        "have a share.",
        "none",
        "Replay",
    ),
}
NOTHING_ELSE: Mapping[str, Role] = MappingProxyType({})


class Startable(NamedTuple):
    """A kind of run as the pages offer it."""

    group: str
    title: str
    lead: str
    makes: str
    name: str  # suggested
    opened: str  # the topics that are not folded
    prompts: tuple[Split, int] | None = None  # how many of a split it needs
    roles: Mapping[str, Role] = NOTHING_ELSE  # asked for in other words, or only by some settings
    fixed: tuple[str, ...] = ()  # settings that are not asked for


GROUPS = {
    "model": "A model to begin with",
    "align": "Align it to labels",
    "look": "See what it does",
}
STARTABLE: dict[str, Startable] = {
    "pretrain": Startable(
        "model",
        "Train the starter model",
        "A small language model from scratch, of a corpus that a grammar writes; minutes on a laptop.",
        "a model",
        "Starter",
        "Corpus Model Training",
    ),
    "sft": Startable(
        "model",
        "Fine-tune on answers",
        "A model imitates the answers that people preferred (SFT): a good start for whatever follows.",
        "a model",
        "Fine-tuned model",
        "Imitation",
    ),
    "prefer": Startable(
        "align",
        "Train on preferences",
        "Pairs move a model directly, without a reward model and without sampling: f-DPO, IPO or KTO.",
        "a model",
        "Preferred model",
        "Preferences",
    ),
    "reward": Startable(
        "align",
        "Train a reward model",
        "It learns from labels to give every answer a score; alignment and evaluation need one.",
        "a reward model",
        "Reward model",
        "Reward model",
        roles={
            "reference": Role(
                "Reference", "Read where its samples give the reward its zero and unit.", "none"
            )
        },
    ),
    "align": Startable(
        "align",
        "Align a model",
        "The model answers, a reward model scores, and better answers become likelier: f-DPG of any "
        "divergence, RLOO, GRPO or PPO.",
        "a model",
        "Aligned model",
        "Objective",
        (Split.TRAIN, 1),
        {
            "labels": Role(
                "Demonstrations",
                "A snapshot whose preferred answers the policy stays able to write; read where "
                "demonstrations have a weight.",
                "none",
                "Demonstrations",
            ),
            "completions": ROLES["completions"],
        },
    ),
    "population": Startable(
        "align",
        "Align a population",
        "Several divergences at once, a model of each; they learn from each other's answers, so that "
        "all of them cost less than they would alone.",
        "a model of each divergence",
        "Population",
        "Objective",
        (Split.TRAIN, 1),
        fixed=("inference_weight", "inference_temperature", "inference_weights"),
    ),
    "evaluate": Startable(
        "look",
        "Evaluate a model",
        "A model against its reference on held-out prompts, judged by somebody who was not optimised.",
        "a verdict with intervals",
        "Evaluation",
        "Evaluation",
        (Split.TEST, FEWEST_HELD_OUT),
        {
            "policy": Role("Model", "The model to judge."),
            "reference": Role(
                "Reference", "What it is compared with: where it started from.", "choose a model"
            ),
            "reward": Role(
                "Reward model",
                "The one that was optimised; its gain is measured too.",
                "none, as the model was aimed at none",
            ),
        },
    ),
    "generate": Startable(
        "look",
        "Answer prompts",
        "A model answers the project's prompts; pairs of its answers become tasks for annotators.",
        "answers and tasks to label",
        "Answers",
        "New tasks",
        (Split.TRAIN, 1),
        {
            "policy": Role(
                "Model",
                "Whose completions the annotators will compare.",
                "none, as a server answers with its own",
            )
        },
    ),
}


def asked_roles(kind: str) -> dict[str, Role]:
    """What the form of a kind asks for, by role; some of it only where a choice reads it."""
    by_choice, words = roles_by_choice(kind).values(), STARTABLE[kind].roles
    roles = dict.fromkeys(role for rows in by_choice for row in rows.values() for role in row)
    return {role: words.get(role, ROLES.get(role)) for role in roles | dict.fromkeys(words)}


def needed_roles(kind: str) -> tuple[str, ...]:
    """What a run of the default settings reads."""
    return RUN_KINDS[kind].roles(RUN_KINDS[kind].config())


def roles_by_choice(kind: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """What a run reads with each value of each choice, all else being the default."""
    row = RUN_KINDS[kind]
    default = row.config()
    found = {"": {"": row.roles(default)}}
    for name, info in row.config.model_fields.items():
        if get_origin(info.annotation) is Literal:
            values = get_args(info.annotation)
            found[name] = {v: row.roles(default.model_copy(update={name: v})) for v in values}
    return found


def read_when(kind: str, role: str) -> dict[str, list[str]]:
    """The choices that make a run read a role, as settings have them; empty where all do."""
    found = {
        f"{kind}-{name}": [value for value, roles in rows.items() if role in roles]
        for name, rows in roles_by_choice(kind).items()
        if not all(role in roles for roles in rows.values())
    }
    return {name: values for name, values in found.items() if values}


class Use(NamedTuple):
    """A run that an artifact may be given to."""

    title: str
    query: str  # of the start page


def uses_of(artifact: Artifact) -> list[Use]:
    """What can be started from an artifact: it takes the first role of its type that is needed."""
    found = []
    for kind, row in STARTABLE.items():
        fitting = [role for role in needed_roles(kind) if artifact.type in ROLE_TYPES[role]]
        if fitting:
            found.append(Use(row.title, f"?kind={kind}&{fitting[0]}={artifact.pk}"))
    return found
