"""Freezing labels, so that what a model was trained on never changes."""

import shutil
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from alignment.seam.folders import committed, file_sha256, manifest_sha256
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import keep, store
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.datasets import queries, snapshots
from webapp.datasets.errors import SnapshotError
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.health import HealthMeter
from webapp.datasets.models import Erasure, Snapshot
from webapp.datasets.snapshots import SnapshotRow
from webapp.jobs.work import Work, at_once
from webapp.projects.models import Project

EVERYTHING = SnapshotFilter()


def freeze_snapshot(
    project: Project, wanted: SnapshotFilter = EVERYTHING, *, by: User | None = None
) -> Snapshot:
    """Freeze the project's current labels and imported ranks that are wanted, while somebody waits for it.

    Where nothing has changed since the last snapshot, that one is returned. Raises SnapshotError without any.
    """
    folder = Path(settings.STORE) / "incoming" / uuid4().hex
    try:
        made = at_once(freezing(project, wanted, folder, by=by))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return project.snapshots.select_related("artifact").get(pk=made["snapshot"])


def freezing(
    project: Project, wanted: SnapshotFilter, folder: Path, *, by: User | None = None
) -> Work:
    """The same in steps: the rows go through the folder; raises SnapshotError without any."""
    newest = queries.newest(project)  # read first: what comes meanwhile counts as new next time
    people = queries.pseudonyms(project, wanted.people).values() if wanted.people else ()
    meter, total = HealthMeter(), queries.count_rows(project, wanted)
    with committed(folder) as aside:
        for done in snapshots.write(aside, _rows(project, wanted), meter.feed):
            yield min(done, total), total
    counts = snapshots.count(folder)
    if not counts["sources"]:
        raise SnapshotError(_why_nothing(project))
    sums = {snapshots.LABELS: file_sha256(folder / snapshots.LABELS)}
    manifest = counts | {
        "filter": wanted.as_stored(people),
        "newest": newest,
        "sha256": sums,
        "health": meter.report(),
    }
    manifest["form"] = project.form_version
    manifest["guidelines_sha256"] = sha256(project.guidelines.encode()).hexdigest()
    yield total, total
    keep(folder)  # the slow part, before the transaction
    return partial(_record, project, folder, manifest, by)


def _why_nothing(project: Project) -> str:
    if any(queries.count_wanted(project, EVERYTHING)):
        return _("Nothing is like what you chose: no label is left to freeze. Leave out less.")
    return _("There are no labels to freeze yet. Label some tasks, or import ranked answers.")


def _rows(project: Project, wanted: SnapshotFilter) -> Iterator[SnapshotRow]:
    yield from queries.label_rows(project, wanted)
    yield from queries.adjudication_rows(project, wanted)
    yield from queries.rank_rows(project, wanted)
    yield from queries.preference_rows(project, wanted)


def _record(
    project: Project, folder: Path, manifest: dict[str, Any], by: User | None
) -> dict[str, Any]:
    """Store the row, in a transaction; the last one where nothing has changed."""
    erased = Exists(Erasure.objects.filter(project=OuterRef("pk")))
    alone = Project.objects.select_for_update().annotate(erased=erased)  # one number at a time
    someone_erased = alone.values_list("erased", flat=True).get(pk=project.pk)
    last = project.snapshots.select_related("artifact").first()
    same = last is not None and last.artifact.manifest_sha256 == manifest_sha256(folder)
    if last is not None and same and last.manifest == manifest:
        return {"snapshot": last.pk, "new": False}
    number = last.number + 1 if last else 1
    artifact = store(
        folder,
        project=project,
        type=Artifact.Type.SNAPSHOT,
        name=f"Snapshot {number}",
        summary={name: manifest[name] for name in ("splits", "sources", "pairs", "answers")},
    )
    made = Snapshot.objects.create(
        project=project,
        number=number,
        artifact=artifact,
        labels=manifest["sources"].get("label", 0),
        pairs=sum(manifest["pairs"].values()),
        annotators=len(manifest["annotators"]),
        manifest=manifest,
        created_by=by,
    )
    if someone_erased:  # meanwhile, perhaps: what was read before is in it
        made.erasures.set(project.erasures.filter(pseudonym__in=manifest["annotators"]))
    said = {"number": number, "labels": made.labels, "pairs": made.pairs}
    record_act(Act.SNAPSHOT_FROZEN, by, project=project.pk, about=made.pk, **said)
    return {"snapshot": made.pk, "new": True}
