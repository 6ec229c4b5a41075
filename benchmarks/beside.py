"""What else goes on in an installation: an import, an export, a backup, one after the other."""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from django.core.files.uploadedfile import UploadedFile

from benchmarks.exchange import a_snapshot
from tests.stack import Stack
from webapp.jobs.models import FINAL, Job, State
from webapp.jobs.services import start_job
from webapp.machine import uploads
from webapp.projects.models import Project

ROWS = 50_000  # of the import, and of the snapshot that is exported
PATIENCE, LOOK = 120.0, 0.2  # seconds for a job, and between two looks at it


Spans = dict[str, tuple[float, float]]  # by what was at work, from and until how many seconds


def imported(stack: Stack, project: Project) -> None:
    """Prompts with two answers each, as tasks, by the worker of jobs."""
    rows = stack.var / "beside.jsonl"
    with rows.open("w") as lines:
        for number in range(ROWS // 2):
            for answer in ("one", "other"):
                lines.write(
                    json.dumps({"prompt": f"Beside {number}?", "completion": f"{answer} {number}"})
                    + "\n"
                )
    with rows.open("rb") as file:
        upload = uploads.keep_file(UploadedFile(file, rows.name, size=rows.stat().st_size))
    payload = {"upload": upload, "name": rows.name, "format": "guess", "become": "tasks"}
    _done(start_job(project, kind="import", payload=payload, key=upload))


def exported(_stack: Stack, project: Project) -> None:
    """A snapshot, by the worker of jobs."""
    snapshot = project.snapshots.latest("number")
    name = f"{project.name}-snapshot-{snapshot.number}-plain"
    payload = {"snapshot": snapshot.pk, "format": "trl_preference_plain", "name": name}
    key = f"export of snapshot {snapshot.pk}"
    _done(start_job(project, kind="export", payload=payload, key=key))


def _done(job: Job) -> None:
    """Wait for a job; raises AssertionError for one that ended in another way."""
    end = time.monotonic() + PATIENCE
    while (state := Job.objects.values_list("state", flat=True).get(pk=job.pk)) not in FINAL:
        if time.monotonic() > end:
            raise TimeoutError(f"the {job.kind} is {state} after {PATIENCE} s")
        time.sleep(LOOK)
    if state != State.DONE:
        raise AssertionError(f"the {job.kind} {state}")


def backed_up(stack: Stack, _project: Project) -> None:
    """All of it, in one file."""
    stack.manage("backup", str(stack.var.parent / f"{stack.var.name}-beside.tar"))


BESIDE: dict[str, Callable[[Stack, Project], None]] = {
    "import": imported,
    "export": exported,
    "backup": backed_up,
}


@contextmanager
def beside(
    stack: Stack, project: Project, names: Collection[str], *, wait: float
) -> Iterator[Spans]:
    """These at work while something else happens, from so many seconds after it began; when each of them was."""
    if "export" in names:
        a_snapshot(project, ROWS)
    spans: Spans = {}
    begun = time.monotonic()

    def work() -> None:
        for name in names:
            since = time.monotonic() - begun
            BESIDE[name](stack, project)
            spans[name] = since, time.monotonic() - begun

    worker = threading.Timer(wait, work)
    worker.start()
    yield spans
    worker.join()
