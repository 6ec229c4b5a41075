"""What the programs have acknowledged, in a file of our own, and what of it the database holds."""

import json
import os
import threading
from collections import Counter
from pathlib import Path

from django.db.models import Count, Q

from webapp.labeling.models import Assignment, Label, Task
from webapp.runs.models import FINAL, Run, RunEvent, RunMetric, State


class Ledger:
    """Append-only; each line is on the disk before anybody goes on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._lock = threading.Lock()
        self.rows: dict[str, set[str]] = {"sent": set(), "stored": set(), "run": set()}
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, key: object) -> None:
        """Write down that something was sent, or acknowledged."""
        with self._lock:
            self._file.write(json.dumps([kind, str(key)]).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.rows[kind].add(str(key))

    def count(self, kind: str) -> None:
        """Count something that leaves no promise behind."""
        with self._lock:
            self.counts[kind] += 1


def broken(ledger: Ledger) -> dict[str, int]:
    """How often each invariant is broken; all 0 when all promises were kept."""
    stored = {str(key) for key in Label.objects.values_list("client_id", flat=True)}
    runs = {str(pk) for pk in Run.objects.values_list("pk", flat=True)}
    outputs = Run.objects.annotate(made=Count("outputs"))
    return {
        "labels_lost": len(ledger.rows["stored"] - stored),
        "labels_doubled": len(stored - ledger.rows["sent"]),
        "tasks_miscounted": miscounted(),
        "runs_lost": len(ledger.rows["run"] - runs),
        "runs_stuck": Run.objects.exclude(state__in=FINAL).count(),
        "outputs_wrong": outputs.filter(Q(state=State.SUCCEEDED) & ~Q(made=1)).count()
        + outputs.exclude(state=State.SUCCEEDED).filter(made__gt=0).count(),
        "zombie_writes": zombie_writes(),
        "server_errors": ledger.counts["server_errors"],
    }


def miscounted() -> int:
    """Tasks whose counters are not what their leases and labels say, or that are served too often."""
    leased, counted = (
        Counter(rows.values_list("task", flat=True))
        for rows in (
            Assignment.objects.filter(state=Assignment.State.LEASED),
            Label.objects.filter(counted=True),
        )
    )
    wrong = 0
    for pk, need, taken, done in Task.objects.values_list("pk", "need", "taken", "done"):
        right = taken == leased[pk] + counted[pk] <= need and done == counted[pk]
        wrong += not right
    return wrong


def zombie_writes() -> int:
    """Metrics that an epoch stored after a later one had begun."""
    begun = RunEvent.objects.filter(to_state=State.STARTING).order_by("pk")
    late = 0
    for run, epoch, at in begun.values_list("run", "epoch", "at"):
        late += RunMetric.objects.filter(run=run, epoch__lt=epoch, at__gt=at).count()
    return late
