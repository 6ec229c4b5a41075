"""Projects whose days of grace are over: their rows and files, some at a time in short transactions.

Which rows are a project's is found in the models themselves, so that a new table needs no line here. What was
removed half is gone on with at the next turn, by whoever tends then.
"""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

from webapp.artifacts.models import Artifact
from webapp.artifacts.store import drop_folder
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.jobs.models import Job
from webapp.machine import uploads
from webapp.projects.models import Project
from webapp.runs.models import Run

BATCH = 500  # rows of a transaction
TURN = 3.0  # seconds after which other duties have their turn
Rows = type[models.Model]


def remove_projects() -> int:
    """Go on with what is to be removed; how many projects are gone."""
    end, gone = time.monotonic() + TURN, 0
    for project in Project.objects.filter(delete_after__lt=Now()).order_by("pk"):
        project.memberships.all().delete()  # so nobody sees a half of it
        while _remove_some(project):
            if time.monotonic() > end:
                return gone
        gone += _remove(project)
    return gone


@transaction.atomic
def _remove(project: Project) -> int:
    """Remove the row of a project of which nothing else is left; the audit log tells of it still."""
    key, name = project.pk, project.name
    gone = project.delete()[0] > 0
    if gone:
        record_act(Act.PROJECT_REMOVED, None, about=key, name=name)
    return gone


def _remove_some(project: Project) -> bool:
    """Remove some rows to which nothing points any more; whether there were any."""
    return any(_remove_from(model, way, project) for model, way in _rows_of_projects())


@transaction.atomic
def _remove_from(model: Rows, way: str, project: Project) -> int:
    manager = model._base_manager
    found = manager.filter(**{way: project})
    if any(field.related_model is model for field in _pointers(model)):
        found = found.order_by("-pk")  # a later row points at an earlier one
    rows = list(found[:BATCH])
    if not rows:
        return 0
    FILES.get(model, _nothing)(rows)
    keys = [row.pk for row in rows]
    for field in _let_go(model):
        field.model._base_manager.filter(**{f"{field.name}__in": keys}).update(**{field.name: None})
    chosen = manager.filter(pk__in=keys)
    return chosen._raw_delete(chosen.db)


@cache
def _rows_of_projects() -> Sequence[tuple[Rows, str]]:
    """All models whose rows are a project's, with the way to it; those first to which no later one points."""
    ways: dict[Rows, str] = {Project: ""}
    ours = [one for one in apps.get_models() if one.__module__.startswith("webapp.")]
    for nullable in (False, True):  # a way on which every row has a value is the better one
        while found := {
            one: way for one in ours if one not in ways and (way := _way(one, ways, nullable))
        }:
            ways |= found
    sorter: TopologicalSorter[Rows] = TopologicalSorter({one: set() for one in ways})
    for one in ways:
        for field in _pointers(one):
            if (
                field.related_model in ways
                and field.related_model is not one
                and not _is_let_go(field)
            ):
                sorter.add(field.related_model, one)
    return [(one, ways[one]) for one in sorter.static_order() if one is not Project]


def _way(model: Rows, ways: Mapping[Rows, str], nullable: bool) -> str:  # noqa: FBT001 - one of two turns
    """How a filter calls the project of a row; nothing where it has none, or none yet."""
    for field in _pointers(model):
        if field.related_model in ways and (nullable or not field.null) and not _is_let_go(field):
            return "__".join(filter(None, [field.name, ways[field.related_model]]))
    return ""


def _pointers(model: Rows) -> list[Any]:
    """The columns that point at rows which have to be there."""
    columns: Iterable[Any] = model._meta.concrete_fields
    return [one for one in columns if one.is_relation and one.db_constraint]


def _is_let_go(field: Any) -> bool:  # noqa: ANN401 - a relation of any kind
    """Whether a row stays when the one at which it points goes."""
    return bool(field.remote_field.on_delete is models.SET_NULL)


def _let_go(model: Rows) -> list[Any]:
    return [one.field for one in model._meta.related_objects if _is_let_go(one.field)]


def _nothing(_rows: Sequence[Any]) -> None:
    """Most rows have no files."""


def _forget_runs(runs: Sequence[Run]) -> None:
    for run in runs:
        shutil.rmtree(Path(settings.STORE) / "runs" / str(run.pk), ignore_errors=True)


def _forget_jobs(jobs: Sequence[Job]) -> None:
    for job in jobs:
        shutil.rmtree(job.folder.parent, ignore_errors=True)
        if name := job.payload.get("upload"):
            uploads.forget(name)


def _forget_artifacts(artifacts: Sequence[Artifact]) -> None:
    """Their folders, but for those that an artifact of another project has too."""
    for one in artifacts:
        same = Artifact.objects.filter(manifest_sha256=one.manifest_sha256)
        if not same.exclude(project=one.project_id).exists():
            drop_folder(one.path)


FILES: Mapping[Rows, Callable[[Sequence[Any]], None]] = {
    Run: _forget_runs,
    Job: _forget_jobs,
    Artifact: _forget_artifacts,
}
