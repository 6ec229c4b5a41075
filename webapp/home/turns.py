"""A project's first turn of the loop, step by step: what is done, what is under way, what is still to come."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from webapp.home.queries import Facts
from webapp.labeling.models import Label
from webapp.projects.models import Project
from webapp.rounds.models import RoundRun
from webapp.runs.models import Run, State

NEWEST = 20  # runs among which those of the first turn are
QUIET = timedelta(seconds=60)  # after which nothing is expected to come by itself
PENDING, RUNNING, DONE = (
    gettext_noop("pending"),
    gettext_noop("running"),
    gettext_noop("done"),
)
STARTING = gettext_noop("starting")
STATES = {
    State.QUEUED: PENDING,
    State.STARTING: RUNNING,
    State.RUNNING: RUNNING,
    State.SUCCEEDED: DONE,
}
Part = RoundRun.Part
PARTS = (Part.REWARD, Part.ALIGN, Part.EVALUATE, Part.GENERATE)  # of a round that is yet to come


class Step(NamedTuple):
    """A step of the first turn; `done` of `total` is told where it is counted."""

    name: str
    title: str
    state: str  # pending, running, done, or what became of its run
    note: str = ""  # what came of it
    url: str = ""
    run: Run | None = None
    done: int = 0
    total: int = 0

    @property
    def words(self) -> str:
        """What it is doing, or what came of it."""
        if self.run is not None and self.run.is_live:
            return self.run.phase or STARTING
        return self.note

    @property
    def is_counted(self) -> bool:
        """Whether it says by itself how far it is."""
        return self.state == RUNNING and self.total > 0


def newest_runs(project: Project) -> list[Run]:
    """Those that this page tells of, the newest first."""
    return list(project.runs.order_by("-pk")[:NEWEST])


def first_turn(project: Project, now: Facts, runs: Sequence[Run]) -> list[Step]:
    """All steps in their order; none once the project is in its second turn."""
    if now.round is not None and now.round.round.number > 1:
        return []
    made = _made(now, runs)
    steps = [_prompts(project, now), _model(project, now, made), _answers(project, now, made)]
    return [*steps, _labels(project, now), _snapshot(project, now), *_round(project, now)]


def is_moving(project: Project, now: Facts) -> bool:
    """Whether more is to be expected on this page without anybody's doing."""
    if now.making or (now.round and not now.round.is_final):
        return True
    since = Now() - QUIET
    ended = Run.objects.filter(project=OuterRef("pk"), ended_at__gt=since)
    labels = Label.objects.filter(project=OuterRef("pk")).order_by("-pk")
    mine = Project.objects.filter(pk=project.pk).annotate(newest=labels.values("created_at")[:1])
    recent = Q(created_at__gt=since) | Q(newest__gt=since) | Q(Exists(ended))
    return mine.filter(recent).exists()


def _made(now: Facts, runs: Sequence[Run]) -> Mapping[str, Run]:
    """The newest run of each kind outside of the round."""
    parts = {part.run_id for part in now.round.parts} if now.round else set()
    return {run.kind: run for run in reversed(runs) if run.pk not in parts}


def _prompts(project: Project, now: Facts) -> Step:
    state = DONE if now.prompts else PENDING
    url = reverse("prompts", args=[project.pk])
    return Step("prompts", _("Prompts"), state, f"{now.prompts:,}", url)


def _model(project: Project, now: Facts, made: Mapping[str, Run]) -> Step:
    title = _("Model")
    if now.model is not None:
        url = reverse("registry:model", args=[project.pk, now.model.pk])
        return Step("model", title, DONE, now.model.name, url)
    run = made.get("pretrain") or made.get("import")
    return _of_run("model", title, run) if run else Step("model", title, PENDING)


def _answers(project: Project, now: Facts, made: Mapping[str, Run]) -> Step:
    title, run = _("Answers to compare"), made.get("generate")
    if now.waiting or now.labels:
        return Step("answers", title, DONE, "", reverse("labeling:tasks", args=[project.pk]))
    return _of_run("answers", title, run) if run else Step("answers", title, PENDING)


def _labels(project: Project, now: Facts) -> Step:
    title, url = _("Labels"), reverse("labeling:labels", args=[project.pk])
    if now.snapshot is not None or not now.labels:
        state = DONE if now.snapshot else PENDING
        return Step("labels", title, state, f"{now.labels:,}", url)
    note = _("{n} given, {left} left").format(n=f"{now.labels:,}", left=f"{now.waiting:,}")
    here = reverse("labeling:label", args=[project.pk])
    return Step("labels", title, RUNNING, note, here, None, now.labels, now.labels + now.waiting)


def _snapshot(project: Project, now: Facts) -> Step:
    title = _("Snapshot")
    if now.snapshot is None:
        return Step("snapshot", title, PENDING)
    url = reverse("datasets:snapshot", args=[project.pk, now.snapshot.pk])
    note = _("{n} pairs").format(n=f"{now.snapshot.pairs:,}")
    return Step("snapshot", title, DONE, note, url)


def _round(project: Project, now: Facts) -> Iterator[Step]:
    if now.round is None:
        yield from (Step(part.value, str(part.label), PENDING) for part in PARTS)
        return
    for part in now.round.parts:
        yield _of_run(part.part, part.get_part_display(), part.run)


def _of_run(name: str, title: str, run: Run) -> Step:
    state = STATES.get(State(run.state), run.shown_state)
    url = reverse("runs:detail", args=[run.project_id, run.pk])
    return Step(name, title, state, run.message, url, run)
