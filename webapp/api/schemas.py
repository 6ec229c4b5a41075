"""What answers hold."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_noop as _
from ninja import Schema
from pydantic import Field

from webapp.artifacts.models import Artifact
from webapp.audit.models import AuditEntry
from webapp.datasets.models import Snapshot
from webapp.jobs.models import Job
from webapp.labeling.models import Label
from webapp.labeling.models import Task as TaskRow
from webapp.projects.access import role_in
from webapp.projects.models import Project
from webapp.rounds.models import Round
from webapp.rounds.queries import state_of
from webapp.runs.actions import actions_for
from webapp.runs.models import Run
from webapp.webhooks.models import Delivery

Json = dict[str, Any]


class ErrorSchema(Schema):
    """Why something was refused, and what to try; `fields` says it of each field that is wrong."""

    error: str
    kind: str
    fields: dict[str, str]


class ProjectSchema(Schema):
    """A project, and as what the token's person is in it."""

    id: int
    name: str
    role: str
    created_at: datetime

    @staticmethod
    def resolve_role(project: Project, context: Mapping[str, Any]) -> str:
        """As what the token's person is here."""
        return str(role_in(context["request"].user, project))


class PromptSchema(Schema):
    """A conversation that ends with the user's turn."""

    id: int
    key: str
    messages: list[Json]
    split: str
    source: str
    created_at: datetime


class TaskSchema(Schema):
    """A question to annotators: `taken` places of `need` are given away, `done` are answered."""

    id: int
    kind: str
    prompt_id: int
    size: int
    need: int
    taken: int
    done: int
    skips: int
    priority: int
    completions: list[int]
    created_at: datetime

    @staticmethod
    def resolve_completions(task: TaskRow) -> list[int]:
        """What it asks about, by place."""
        return [item.completion_id for item in task.items.all()]


class LabelSchema(Schema):
    """An answer to a task; `order` are the places of its items as they were shown."""

    id: int
    task_id: int
    kind: str
    annotator: str
    simulated: bool
    imported: bool
    answer: Json
    order: list[int]
    rationale: str
    flags: list[str]
    visible_ms: int | None
    counted: bool
    superseded: bool
    retracted: bool
    created_at: datetime

    @staticmethod
    def resolve_kind(label: Label) -> str:
        """Of its task."""
        return label.task.kind

    @staticmethod
    def resolve_annotator(label: Label) -> str:
        """Who gave it."""
        return label.annotator.shown_name

    @staticmethod
    def resolve_simulated(label: Label) -> bool:
        """Whether that is a program."""
        return label.annotator.simulated


class CardSchema(Schema):
    """A task that was taken to be answered: what its person sees, in this order."""

    assignment: int
    task: int
    kind: str
    messages: list[Json]
    items: list[str]
    lease_until: datetime


class NextSchema(Schema):
    """The next task, or null where nothing is open."""

    card: CardSchema | None


class SnapshotSchema(Schema):
    """Frozen labels."""

    id: int
    number: int
    labels: int
    pairs: int
    annotators: int
    manifest: Json
    artifact_id: int
    sha256: str
    created_at: datetime

    @staticmethod
    def resolve_sha256(snapshot: Snapshot) -> str:
        """Of the manifest of its folder."""
        return snapshot.artifact.manifest_sha256


class ChangesSchema(Schema):
    """What a snapshot has that an earlier one has not, and the other way round: how many of each."""

    given: int
    let_in: int
    revised: int
    retracted: int
    removed: int
    left_out: int
    prompts_added: int
    prompts_gone: int
    decisions_added: int
    decisions_gone: int
    rankings_added: int
    rankings_gone: int


class JobSchema(Schema):
    """Short background work: an import or an export, say; `file` where it offers one."""

    id: int
    kind: str
    state: str
    progress: int
    total: int
    message: str
    result: Json
    file: str | None
    created_at: datetime
    ended_at: datetime | None

    @staticmethod
    def resolve_file(job: Job) -> str | None:
        """The name of what it made, while that is kept."""
        return job.file.name if job.file else None


class RunSchema(Schema):
    """A run, as lists show it."""

    id: int
    kind: str
    name: str
    state: str
    shown_state: str
    reason: str
    message: str
    phase: str
    step: int
    total_steps: int
    seed: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class InputSchema(Schema):
    """What a run reads in a role."""

    role: str
    artifact_id: int


class RunDetailSchema(RunSchema):
    """A run with all that it was told and has said."""

    config: Json
    summary: Json
    inputs: list[InputSchema]
    outputs: list[int]
    actions: list[str] = Field(description=_("What may be done to it now."))

    @staticmethod
    def resolve_inputs(run: Run) -> list[Any]:
        """By role."""
        return list(run.inputs.order_by("role"))

    @staticmethod
    def resolve_outputs(run: Run) -> list[int]:
        """The artifacts that it made."""
        return list(run.outputs.order_by("pk").values_list("pk", flat=True))

    @staticmethod
    def resolve_actions(run: Run) -> list[str]:
        """By its state."""
        return list(actions_for(run))


class EventSchema(Schema):
    """A change of a run's state."""

    id: int
    at: datetime
    actor: str
    step: int
    from_state: str
    to_state: str
    reason: str
    message: str


class MetricSchema(Schema):
    """A number of one step; null where it is not finite."""

    id: int
    key: str
    step: int
    value: float | None
    at: datetime


class RoundSchema(Schema):
    """A chain of runs from a snapshot to results and new tasks."""

    id: int
    number: int
    state: str
    snapshot_id: int
    policy_id: int
    config: Json
    runs: dict[str, int] = Field(description=_("By part."))
    created_at: datetime

    @staticmethod
    def resolve_state(row: Round) -> str:
        """Where it stands."""
        return state_of(row.parts.all())

    @staticmethod
    def resolve_runs(row: Round) -> dict[str, int]:
        """Each part's."""
        return {part.part: part.run_id for part in row.parts.all()}


class ModelSchema(Schema):
    """A stored model."""

    id: int
    type: str
    name: str
    bytes: int
    manifest_sha256: str
    producer_id: int | None
    summary: Json
    created_at: datetime

    @staticmethod
    def resolve_type(model: Artifact) -> str:
        """As choices call it."""
        return str(model.type)


class AddedSchema(Schema):
    """How many were sent and how many of them are new."""

    sent: int
    added: int


class LabelledSchema(Schema):
    """An answer that is stored; `counted` is false where its task had answers enough."""

    id: int
    client_id: UUID
    counted: bool


class AuditSchema(Schema):
    """A change of state: `via` is the token's name, or that of a program of Attune's; `number` the row's id."""

    id: int
    created_at: datetime
    person: str | None
    person_id: int | None
    via: str
    token: int | None
    act: str
    thing: str
    number: int | None
    facts: Json

    @staticmethod
    def resolve_person(row: AuditEntry) -> str | None:
        """Who did it; nobody where a program of Attune's did."""
        return row.person.shown_name if row.person else None


class WebhookSchema(Schema):
    """An address that is told of acts; `why` says why it was turned off where nobody did that."""

    id: int
    url: str
    acts: list[str]
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    why: str


class SecretSchema(Schema):
    """What proves who sends, told once."""

    secret: str


class MadeWebhookSchema(SecretSchema):
    """A new webhook, and its secret."""

    webhook: WebhookSchema


class DeliverySchema(Schema):
    """An act as it was told to a webhook: `entry_id` is its row in the audit log."""

    id: int
    entry_id: int
    act: str
    state: str
    attempts: int
    code: int | None
    message: str
    due_at: datetime
    tried_at: datetime | None
    created_at: datetime

    @staticmethod
    def resolve_act(row: Delivery) -> str:
        """What happened."""
        return row.entry.act
