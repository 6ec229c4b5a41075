"""What the pages propose to start: a card per kind of run, and what a form is filled with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from alignment.kinds.spec import CONFIGS
from webapp.projects.models import Project
from webapp.registry.models import Artifact, ArtifactQuerySet
from webapp.runs.kinds import ROLE_TYPES
from webapp.runs.missing import Missing, Need, needs_of, stock_of
from webapp.runs.refusals import rewarded, split_of
from webapp.runs.startable import GROUPS, STARTABLE, Startable, asked_roles

PROPOSED = ("policy", "reward")  # also where a run may do without one
AIM = ("beta", "divergence", "alpha")  # settings of an alignment that its evaluation is about


class Offer(NamedTuple):
    """One kind of run on the page that offers them."""

    kind: str
    row: Startable
    needs: list[Need]

    @property
    def missing(self) -> Missing | None:
        """The first thing that stands in the way."""
        return next((need.missing for need in self.needs if need.missing), None)


def offers(project: Project) -> list[tuple[str, list[Offer]]]:
    """Every kind of run under the heading of its group."""
    stock = stock_of(project)
    made = [Offer(kind, row, needs_of(kind, project, stock)) for kind, row in STARTABLE.items()]
    return [
        (title, [offer for offer in made if offer.row.group == group])
        for group, title in GROUPS.items()
    ]


class Proposal(NamedTuple):
    """What a form is filled with before anybody has touched it."""

    initial: dict[str, Any]
    config: BaseModel


def proposed(kind: str, project: Project, query: Mapping[str, str]) -> Proposal:
    """The inputs that an address names, or the newest; settings that follow from them."""
    rows = project.artifacts.select_related("producer").order_by("-pk")
    chosen = {role: named(role, rows, query) for role in asked_roles(kind)}
    if kind == "evaluate":
        return evaluation(project, rows, chosen)
    for role, words in asked_roles(kind).items():
        if chosen[role] is None and (role in PROPOSED or not words.empty):
            chosen[role] = rows.filter(type=ROLE_TYPES[role][0]).first()
    return Proposal(chosen, with_settings(kind, query))


def named(role: str, rows: ArtifactQuerySet, query: Mapping[str, str]) -> Artifact | None:
    """The artifact that an address names for a role, if it can be one."""
    pk = query.get(role, "")
    return rows.filter(type__in=ROLE_TYPES[role], pk=pk).first() if pk.isdecimal() else None


def with_settings(kind: str, query: Mapping[str, str]) -> BaseModel:
    """A kind's settings, with those that an address names as the form does: reward-labels=…"""
    names = [name for name in CONFIGS[kind].model_fields if f"{kind}-{name}" in query]
    try:
        return CONFIGS[kind](**{name: query[f"{kind}-{name}"] for name in names})
    except ValidationError:
        return CONFIGS[kind]()


def evaluation(
    project: Project, rows: ArtifactQuerySet, chosen: dict[str, Artifact | None]
) -> Proposal:
    """The newest model against what it was made from, by what it was made with."""
    policy = chosen["policy"] or rows.models().first()
    made = policy.producer if policy else None
    read = (
        {row.role: row.artifact for row in made.inputs.select_related("artifact")} if made else {}
    )
    rewards = list(rows.reward_models())
    optimised = read.get("reward") or first_of(rewards, "train")
    reward = chosen["reward"] or (optimised if policy is None or rewarded(policy) else None)
    judge = chosen["judge"] or first_of(rewards, "validation")
    reference = chosen["reference"] or read.get("reference") or read.get("policy")
    initial = {"policy": policy, "reference": reference, "reward": reward, "judge": judge}
    config = CONFIGS["evaluate"]()
    if judge is None:
        simulated = project.memberships.filter(user__simulated=True).exists()
        config = config.model_copy(update={"judge": "utility" if simulated else "none"})
    aim = {name: made.config[name] for name in AIM if made and name in made.config}
    if made and made.config.get("objective", "fdpg") != "fdpg":
        aim["divergence"] = "reverse_kl"
    return Proposal(initial, config.model_copy(update=aim))


def first_of(rewards: list[Artifact], split: str) -> Artifact | None:
    """The newest reward model that learned from the labels of a split."""
    return next((reward for reward in rewards if split_of(reward) == split), None)
