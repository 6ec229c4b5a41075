"""What people do to runs; called by views, and the only place that enqueues on their behalf."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from pydantic import BaseModel, ValidationError

from alignment.kinds import KINDS
from alignment.kinds.extension import extension_fault
from alignment.kinds.kind import Kind
from alignment.seam.settings import Settings
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact, ArtifactInput
from webapp.audit.acts import Act
from webapp.projects.models import Project
from webapp.runs import tasks
from webapp.runs.errors import RunError
from webapp.runs.extension import checkpoint_to_extend, told_of
from webapp.runs.inputs import config_of
from webapp.runs.keeping import need_room
from webapp.runs.models import Checkpoint, Intent, Run, RunNeed, State
from webapp.runs.transitions import Change, move, note, record_run

NO_INPUTS: Mapping[str, Artifact] = MappingProxyType({})
NO_NEEDS: Mapping[str, Run] = MappingProxyType({})
WORKING = (State.STARTING, State.RUNNING)


class Order(NamedTuple):
    """A run as somebody wants it; `key` makes it one, however often it is asked for."""

    kind: str
    name: str
    config: BaseModel
    key: str
    seed: int = 0
    inputs: Mapping[str, Artifact] = NO_INPUTS
    needs: Mapping[str, Run] = NO_NEEDS
    created_by: User | None = None
    priority: int = 100
    not_before: datetime | None = None
    parent: Run | None = None
    dry: bool = False  # one step of everything, of which nothing is kept
    extends: Run | None = None  # whose newest checkpoint it goes on from


@transaction.atomic
def start_run(project: Project, order: Order) -> Run:
    """Queue a run once per key; it waits for the runs it needs. Raises RunError."""
    _must_take_runs(project)
    row = _kind(order.kind)
    settled = _settings(row, order.config)
    _check_roles(row, settled, project, order.inputs, order.needs)
    start = checkpoint_for(order.extends, order, settled) if order.extends else None
    run, created = Run.objects.get_or_create(
        project=project,
        idempotency_key=order.key,
        defaults=_columns(row, settled, order) | {"resume_from": start},
    )
    if created:
        need_room()
        ArtifactInput.objects.bulk_create(
            ArtifactInput(run=run, artifact=artifact, role=role)
            for role, artifact in order.inputs.items()
        )
        RunNeed.objects.bulk_create(
            RunNeed(run=run, needs=needed, role=role) for role, needed in order.needs.items()
        )
        message = told_of(start) if start else ""
        note(run, Change((), State.QUEUED, actor_name(order.created_by), message=message), "")
        record_run(Act.RUN_STARTED, run, order.created_by)
        transaction.on_commit(partial(tasks.send_ring, run.queue))
        run.refresh_from_db()  # its times are the database's
    return run


def _must_take_runs(project: Project) -> None:
    """Raise RunError for an archived project; who archives it waits for this transaction, or it for them."""
    known = Project.objects.select_for_update(no_key=True)
    if known.values_list("archived_at", flat=True).get(pk=project.pk):
        raise RunError(
            _("This project is archived: nothing runs in it until an admin brings it back.")
        )


def _columns(row: Kind, settled: BaseModel, order: Order) -> dict[str, object]:
    """The columns of a new run."""
    dump = settled.model_dump(mode="json")
    return {
        "kind": order.kind,
        "name": order.name[:120],
        "config": dump,
        "config_hash": _sha256(json.dumps(dump, sort_keys=True).encode()),
        "code_version": code_version(),
        "seed": order.seed,
        "priority": order.priority,
        "queue": row.work.value,
        "not_before": order.not_before,
        "parent": order.parent,
        "dry": order.dry,
        "created_by": order.created_by,
    }


def checkpoint_for(before: Run, order: Order, settled: Settings) -> Checkpoint:
    """The checkpoint that an order's run begins with; raises RunError where it would not go on as that run did."""
    checkpoint = checkpoint_to_extend(before)
    if checkpoint is None or before.kind != order.kind:
        raise RunError(
            _("There is no checkpoint of “{name}” left to go on from.").format(name=before)
        )
    fault = extension_fault(KINDS[order.kind], before.config, settled.model_dump(mode="json"))
    if fault is not None:
        raise RunError(f"{_(settled_title(settled, fault[0]))}: {fault[1]}.")
    read = {row.role: row.artifact_id for row in before.inputs.all()}
    if order.seed != before.seed or read != {r: one.pk for r, one in order.inputs.items()}:
        raise RunError(
            _("A run that goes on reads what “{name}” read, with its seed.").format(name=before)
        )
    return checkpoint


def settled_title(settled: Settings, name: str) -> str:
    """What a setting is called."""
    return type(settled).model_fields[name].title or name


@transaction.atomic
def cancel_run(run: Run, *, by: User | None) -> Run:
    """Cancel: at once when nobody works on it, else as soon as its trainer has ended; by nobody: by Attune itself."""
    actor = actor_name(by)
    idle = Change(
        (State.QUEUED, State.INTERRUPTED),
        State.CANCELLED,
        actor,
        "cancelled",
        _("Cancelled by {actor}.").format(actor=actor),
    )
    live = Change((*WORKING, State.STOPPING), State.STOPPING, actor, "cancelled")
    wanted = Q(intent__in=[Intent.RUN, Intent.PAUSE])
    if move(run, idle, intent=Intent.CANCEL) or move(run, live, only=wanted, intent=Intent.CANCEL):
        record_run(Act.RUN_CHANGED, run, by, what="cancel")
        return refreshed(run)
    return _refuse_unless(
        run, (State.STOPPING, State.CANCELLED), _("it cannot be cancelled any more")
    )


@transaction.atomic
def pause_run(run: Run, *, by: User) -> Run:
    """Pause: a queued run is held at once, a live one saves and stops."""
    actor = actor_name(by)
    held = Change(
        (State.QUEUED,),
        State.INTERRUPTED,
        actor,
        "paused",
        _("Held by {actor}.").format(actor=actor),
    )
    if move(run, held):
        record_run(Act.RUN_CHANGED, run, by, what="pause")
        return refreshed(run)
    if not _kind(run.kind).can_save(run.config):
        raise RunError(
            _(
                "A run of kind “{kind}” is short and cannot save half of its work. "
                "Let it finish, or cancel it."
            ).format(kind=run.kind)
        )
    stop = Change(WORKING, State.STOPPING, actor, "paused")
    if move(run, stop, intent=Intent.PAUSE):
        record_run(Act.RUN_CHANGED, run, by, what="pause")
        return refreshed(run)
    return _refuse_unless(run, (State.STOPPING, State.INTERRUPTED), _("there is nothing to pause"))


@transaction.atomic
def resume_run(run: Run, *, by: User) -> Run:
    """Queue a paused or interrupted run again, with all its attempts; it goes on where it was saved."""
    actor = actor_name(by)
    change = Change((State.INTERRUPTED,), State.QUEUED, actor, "resumed")
    if move(run, change, intent=Intent.RUN, attempts=0, not_before=None, outgrew_gib=None):
        transaction.on_commit(partial(tasks.send_ring, run.queue))
        record_run(Act.RUN_CHANGED, run, by, what="resume")
        return refreshed(run)
    working = (State.QUEUED, *WORKING)
    return _refuse_unless(run, working, _("only a paused or interrupted run can be resumed"))


def retry_run(run: Run, *, by: User) -> Run:
    """The same again as a new run, once this one is over; it reads the newest runs it needs."""
    run = refreshed(run)
    if not run.is_final:
        raise RunError(_("This run is not over yet; cancel it first, or resume it."))
    needs = {need.role: _newest(need.needs) for need in run.needs.select_related("needs")}
    given = run.inputs.select_related("artifact").exclude(role__in=needs)
    order = Order(
        kind=run.kind,
        name=run.name,
        config=config_of(run),
        seed=run.seed,
        inputs={row.role: row.artifact for row in given},
        needs=needs,
        key=f"again-{run.pk}",
        created_by=by,
        priority=run.priority,
        parent=run,
        dry=run.dry,
    )
    return start_run(run.project, order)


def _newest(run: Run) -> Run:
    """The last retry of a run; the run itself when there was none."""
    while (again := run.again.order_by("-pk").first()) is not None:
        run = again
    return run


def refreshed(run: Run) -> Run:
    """The run as the database has it now."""
    return Run.objects.get(pk=run.pk)


def actor_name(user: User | None) -> str:
    """How the history calls who did it."""
    return user.get_username() if user else "attune"


def _sha256(content: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(content).hexdigest()


@cache
def code_version() -> str:
    """Digest of the trainer's sources: equal digests mean equal programs."""
    sources = sorted((settings.BASE_DIR / "alignment").rglob("*.py"))
    return _sha256(b"\0".join(path.read_bytes() for path in sources))[:16]


def _kind(kind: str) -> Kind:
    try:
        return KINDS[kind]
    except KeyError as error:
        raise RunError(_("There is no kind of run called “{kind}”.").format(kind=kind)) from error


def _settings(row: Kind, config: BaseModel) -> Settings:
    try:
        return row.settings.model_validate(config.model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise RunError(f"{field}: {first['msg']}.") from error


def _check_roles(
    row: Kind,
    config: Settings,
    project: Project,
    inputs: Mapping[str, Artifact],
    needs: Mapping[str, Run],
) -> None:
    for role in row.roles(config):
        if role not in inputs and role not in needs and not row.input_named(role).spared:
            raise RunError(_("This run needs to be told its {role}.").format(role=role))
    read: list[Artifact | Run] = [*inputs.values(), *needs.values()]
    for given in read:
        if given.project_id != project.pk:
            raise RunError(_("“{name}” belongs to another project.").format(name=given.name))


def _refuse_unless(run: Run, fine: tuple[State, ...], why: str) -> Run:
    """The run when somebody else was first with the same wish; else the refusal."""
    now = refreshed(run)
    if now.state in fine:
        return now
    raise RunError(_("The run is {state}: {why}.").format(state=_(now.shown_state), why=why))
