"""Where copies of erased data are left: snapshots, their exports, and what runs made of them."""

import shutil
from collections.abc import Iterable, Iterator

from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.artifacts.lineage import models_made_of, texts_made_of
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.datasets.models import Erasure, Snapshot
from webapp.datasets.snapshots import read
from webapp.erasure.errors import ErasureError
from webapp.jobs.models import Job
from webapp.runs.models import FINAL

BEFORE = ("left", "right", "choice", "strength", "source")  # in files of before there were kinds
READ = ("kind", "annotator", "prompt_key", "completions", *BEFORE)


def note_snapshots(erasure: Erasure) -> None:
    """Note which snapshots of the project hold something of the person: a second time finds the same."""
    there = erasure.project.snapshots.select_related("artifact").order_by("pk")
    erasure.snapshots.add(*(one for one in there if _holds(one, erasure)))


def _holds(snapshot: Snapshot, erasure: Erasure) -> bool:
    """Whether a row is by the person, or about what they wrote; of a file that is gone its manifest tells."""
    if erasure.pseudonym in snapshot.manifest.get("annotators", {}):
        return True
    if not snapshot.artifact.path.is_dir():
        return False
    marks = erasure.marks or {}
    prompts, answers = set(marks.get("prompts", ())), set(marks.get("completions", ()))
    return any(
        row["annotator"] == erasure.pseudonym
        or row["prompt_key"] in prompts
        or not answers.isdisjoint(row["completions"])
        for row in read(snapshot.artifact.path, names=READ)
    )


def exports_of(erasure: Erasure) -> Iterator[Job]:
    """The exports of those snapshots: their files go, the snapshots can be frozen and exported anew."""
    held = set(erasure.snapshots.values_list("pk", flat=True))
    for job in erasure.project.jobs.filter(kind="export"):
        if job.payload.get("snapshot") in held:
            yield job


def models_holding(snapshots: Iterable[Snapshot]) -> list[Artifact]:
    """The models that learned from these, through all runs between, the newest first."""
    return models_made_of([one.artifact_id for one in snapshots])


def results_holding(snapshots: Iterable[Snapshot]) -> list[Artifact]:
    """Scores and answers of runs that read these or models made of them: they repeat texts that were asked about."""
    return texts_made_of([one.artifact_id for one in snapshots])


def remove_file(snapshot: Snapshot, *, by: User | None = None) -> None:
    """Remove the frozen labels of a snapshot that holds erased data; its row and counts stay.

    Raises ErasureError where it holds none, or a run still reads it.
    """
    if not snapshot.erasures.exists():
        raise ErasureError(_("It holds nothing of an erased person: it stays as it is."))
    same = Artifact.objects.filter(manifest_sha256=snapshot.artifact.manifest_sha256)
    if ArtifactInput.objects.filter(artifact__in=same).exclude(run__state__in=FINAL).exists():
        raise ErasureError(_("A run that is not over reads it; wait for its end, or cancel it."))
    project = snapshot.project_id
    record_act(Act.SNAPSHOT_FILE_REMOVED, by, project=project, about=snapshot.pk)
    shutil.rmtree(snapshot.artifact.path, ignore_errors=True)
