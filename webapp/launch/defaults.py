"""What the form of a run is filled with before anybody has touched it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from alignment.kinds import KINDS
from alignment.kinds.kind import Input, Kind
from alignment.seam.settings import Settings
from webapp.artifacts.models import Artifact, ArtifactQuerySet
from webapp.launch.checks import rewarded
from webapp.projects.models import Project
from webapp.runs.evaluations import learned_from, usual_evaluation
from webapp.runs.models import Run
from webapp.site.htmx import is_key

PROPOSED = ("policy", "reward", "judged", "texts")  # also where a run may do without one


class Proposal(NamedTuple):
    """What a form is filled with before anybody has touched it."""

    initial: dict[str, Any]
    config: Settings


def proposed(kind: Kind, project: Project, query: Mapping[str, str]) -> Proposal:
    """What an address names, or the newest; settings that follow from it. `like` names a run that was."""
    if (found := _run_named(kind, project, query)) is not None:
        return like(kind, found)
    rows = project.artifacts.select_related("producer").order_by("-pk")
    chosen = {one.role: _named(one, rows, query) for one in kind.artifacts}
    if kind.name == "evaluate":
        return evaluation(project, rows, chosen)
    if kind.held_out:
        return comparison(kind, rows, chosen, query)
    for one in kind.artifacts:
        if chosen[one.role] is None and (one.role in PROPOSED or not one.empty):
            chosen[one.role] = rows.filter(type=one.types[0]).first()
    return Proposal(chosen, with_settings(kind, query))


def _run_named(kind: Kind, project: Project, query: Mapping[str, str]) -> Run | None:
    """The run that an address wants another one like, if it is of this kind and project."""
    pk = query.get("like", "")
    return project.runs.filter(kind=kind.name, pk=pk).first() if is_key(pk) else None


def like(kind: Kind, run: Run) -> Proposal:
    """What a run read and was told; the usual settings where this version does not take its own."""
    read = {row.role: row.artifact for row in run.inputs.select_related("artifact")}
    try:
        config = kind.settings.stored(run.config)
    except ValidationError:
        config = kind.settings()
    return Proposal({**read, "seed": run.seed}, config)


def _named(one: Input, rows: ArtifactQuerySet, query: Mapping[str, str]) -> Artifact | None:
    """The artifact that an address names for an input, if it can be one."""
    pk = query.get(one.role, "")
    return rows.filter(type__in=one.types, pk=pk).first() if is_key(pk) else None


def with_settings(kind: Kind, query: Mapping[str, str]) -> Settings:
    """A kind's settings, with those that an address names as the form does: reward-labels=…"""
    names = [name for name in kind.settings.model_fields if f"{kind.name}-{name}" in query]
    try:
        return kind.settings(**{name: query[f"{kind.name}-{name}"] for name in names})
    except ValidationError:
        return kind.settings()


def evaluation(
    project: Project, rows: ArtifactQuerySet, chosen: dict[str, Artifact | None]
) -> Proposal:
    """The newest model against what it was made from, by what it was made with."""
    policy = chosen["policy"] or rows.models().first()
    made = policy.producer if policy else None
    read = (
        {row.role: row.artifact for row in made.inputs.select_related("artifact")} if made else {}
    )
    rewards = rows.reward_models()
    optimised = read.get("reward") or learned_from(rewards, "train")
    reward = chosen["reward"] or (optimised if policy is None or rewarded(policy) else None)
    judge = chosen["judge"] or learned_from(rewards, "validation")
    reference = chosen["reference"] or read.get("reference") or read.get("policy")
    initial = {"policy": policy, "reference": reference, "reward": reward, "judge": judge}
    initial |= {role: chosen[role] or read.get(role) for role in ("classifier", "code")}
    return Proposal(initial, usual_evaluation(project, made, judge, initial["classifier"]))


def comparison(
    kind: Kind,
    rows: ArtifactQuerySet,
    chosen: dict[str, Artifact | None],
    query: Mapping[str, str],
) -> Proposal:
    """The newest model against what a run makes of it; its distance to the target where it was aligned to one."""
    policy = chosen["policy"] or rows.models().first()
    made = policy.producer if policy else None
    initial, config = chosen | {"policy": policy}, with_settings(kind, query)
    if made is not None and KINDS[made.kind].trains_beside and made.kind != "prefer":
        read = {row.role: row.artifact for row in made.inputs.select_related("artifact")}
        taken = ("reference", "reward", "classifier")
        initial |= {role: chosen[role] or read.get(role) for role in taken}
        initial["reference"] = initial["reference"] or read.get("policy")
        config = config.model_copy(update={"distance": "measured"})
    initial["judge"] = chosen["judge"] or learned_from(rows.reward_models(), "validation")
    if initial["judge"] is not None:
        config = config.model_copy(update={"judge": "held_out_labels"})
    return Proposal(initial, config)
