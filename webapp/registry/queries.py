"""Lineage: what an artifact was made from, and what was made from it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import QuerySet

from alignment.kinds import KINDS
from webapp.artifacts.models import MODEL_TYPES, Artifact, ArtifactInput
from webapp.datasets.models import Snapshot
from webapp.projects.models import Project
from webapp.results.words import entry_of, fact_in_words
from webapp.runs.models import FINAL, Run
from webapp.site.pages import number_of

DEEPEST = 12  # generations shown of a lineage


class Ancestor(NamedTuple):
    """An artifact that another was made from, in its role, with its own ancestors."""

    role: str
    artifact: Artifact
    parents: list["Ancestor"]


def listed(project: Project) -> QuerySet[Artifact]:
    """Models of every type, newest first, with what a row shows."""
    rows = project.artifacts.filter(type__in=MODEL_TYPES).select_related("producer").order_by("-pk")
    used = number_of(ArtifactInput.objects.all(), "artifact")
    return rows.annotate(used=used).prefetch_related("producer__parts__round")


def ancestors(artifact: Artifact) -> list[Ancestor]:
    """What the artifact was made from, generation by generation: one query each."""
    edges: dict[int, list[ArtifactInput]] = defaultdict(list)
    wanted = _producers([artifact])
    for _ in range(DEEPEST):
        rows = ArtifactInput.objects.filter(run__in=wanted - edges.keys()).order_by("pk")
        found = list(rows.select_related("artifact__snapshot"))
        if not found:
            break
        for edge in found:
            edges[edge.run_id].append(edge)
        wanted = _producers(edge.artifact for edge in found)
    return _tree(artifact, edges, DEEPEST)


def holds_erased(found: Iterable[Ancestor]) -> bool:
    """Whether one of these ancestors is a snapshot with data of somebody who was erased."""
    snapshots = set(_snapshots(found))
    return Snapshot.objects.filter(pk__in=snapshots, erasures__isnull=False).exists()


def _snapshots(found: Iterable[Ancestor]) -> Iterator[int]:
    for one in found:
        if one.artifact.type == Artifact.Type.SNAPSHOT:
            yield one.artifact.snapshot.pk
        yield from _snapshots(one.parents)


def _producers(artifacts: Iterable[Artifact]) -> set[int]:
    return {artifact.producer_id for artifact in artifacts if artifact.producer_id is not None}


def _tree(artifact: Artifact, edges: dict[int, list[ArtifactInput]], depth: int) -> list[Ancestor]:
    if depth == 0 or artifact.producer_id is None:
        return []
    return [
        Ancestor(edge.role, edge.artifact, _tree(edge.artifact, edges, depth - 1))
        for edge in edges.get(artifact.producer_id, [])
    ]


def uses(artifact: Artifact) -> QuerySet[ArtifactInput]:
    """The runs that read the artifact, newest first, with what they made."""
    rows = artifact.uses.select_related("run").order_by("-run")
    return rows.prefetch_related("run__outputs__snapshot", "run__parts__round")


class Number(NamedTuple):
    """One entry of a summary in words: an estimate with its interval, or a plain value."""

    name: str
    estimate: dict[str, Any] | None
    value: str


ELSEWHERE = {"bytes", "encoder"}  # of a summary: they have their own place on the page


class Needed(NamedTuple):
    """Memory that a use of a model takes."""

    use: str
    bytes: int


def memory(artifact: Artifact) -> list[Needed]:
    """The memory each use of a model takes, where it was estimated when the model was added."""
    known = artifact.summary.get("memory", {}).items()
    return [Needed(KINDS[kind].title if kind in KINDS else kind, size) for kind, size in known]


def coming(project: Project) -> QuerySet[Run]:
    """Models that are being added, the newest first."""
    return project.runs.filter(kind="import").exclude(state__in=FINAL)


def numbers(artifact: Artifact) -> list[Number]:
    """What the run that made the artifact said about it, in its order."""
    kind = artifact.producer.kind if artifact.producer else ""
    return [
        Number(entry.title, value, "")
        if isinstance(value, dict)
        else Number(entry.title, None, fact_in_words(value, entry))
        for key, value in artifact.summary.items()
        if not isinstance(value, list) and key not in ELSEWHERE
        if not (entry := entry_of(kind, key)).aside
    ]
