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
from webapp.projects.models import Membership, Project
from webapp.quality.models import Adjudication
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
    band: str
    language: str | None
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
    dry_run: bool = Field(
        description=_("One step of everything, of which nothing is kept but what it took."),
    )

    @staticmethod
    def resolve_dry_run(run: Run) -> bool:
        """Whether it is one."""
        return run.dry

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


class QualitySchema(Schema):
    """What was measured of the labels, and how many have come since."""

    made_at: datetime | None
    figures: Json | None
    since: int


class SayingSchema(Schema):
    """A label as it was given, with the places of the items as they were shown."""

    id: int
    annotator: str
    answer: Json
    order: list[int]
    verdict: str

    @staticmethod
    def resolve_annotator(label: Label) -> str:
        """Who gave it."""
        return label.annotator.shown_name


class DisagreementSchema(Schema):
    """A task about which people say different things."""

    task_id: int
    kind: str
    prompt_id: int
    labels: list[SayingSchema]

    @staticmethod
    def resolve_kind(label: Label) -> str:
        """Of the task."""
        return label.task.kind

    @staticmethod
    def resolve_prompt_id(label: Label) -> int:
        """Of the task."""
        return label.task.prompt_id

    @staticmethod
    def resolve_labels(label: Label) -> list[Label]:
        """All that was said of it."""
        said: list[Label] = vars(label)["sayings"]
        return said


class DecisionSchema(Schema):
    """What somebody decided about a task; it speaks for it while it stands."""

    id: int
    task_id: int
    by: str
    answer: Json
    order: list[int]
    verdict: str
    rationale: str
    standing: bool
    created_at: datetime

    @staticmethod
    def resolve_by(row: Adjudication) -> str:
        """Who decided."""
        return row.by.shown_name


class CheckSchema(Schema):
    """A task of known answer; of those who `answered` it since, so many were `right`."""

    id: int
    task_id: int
    answer: Json
    order: list[int]
    verdict: str
    expected: str
    explanation: str
    answered: int
    right: int
    created_at: datetime


class ChecksSchema(Schema):
    """How people are checked: one task in so many is a check, or a silent repeat; 0: none."""

    gold_every: int
    repeat_every: int
    third_if_two_differ: bool
    daily_quota: int


class AllocationSchema(Schema):
    """Tasks that were chosen at once: by which method, and which share of them by chance."""

    id: int
    method: str
    wanted: int
    control: float
    scores_id: int
    created_at: datetime


class FormSchema(Schema):
    """How a project asks its tasks, by the number of that form."""

    number: int
    composition: Json


class MemberSchema(Schema):
    """A member: `active` is whether they can sign in."""

    id: int
    username: str
    name: str
    role: str
    active: bool
    simulated: bool
    second_factor: bool

    @staticmethod
    def resolve_username(row: Membership) -> str:
        """By which they sign in."""
        return row.user.username

    @staticmethod
    def resolve_name(row: Membership) -> str:
        """How pages call them."""
        return row.user.shown_name

    @staticmethod
    def resolve_active(row: Membership) -> bool:
        """Whether they can sign in."""
        return row.user.is_active

    @staticmethod
    def resolve_simulated(row: Membership) -> bool:
        """Whether they are a program."""
        return row.user.simulated


class InvitationSchema(Schema):
    """An invitation that nobody has used."""

    id: int
    role: str
    note: str
    created_at: datetime
    expires_at: datetime


class LinkSchema(Schema):
    """A link that works once, told once."""

    url: str


class SweepSchema(Schema):
    """A run again and again, with other values of some of its settings."""

    id: int
    number: int
    name: str
    kind: str
    state: str
    message: str
    seed: int
    config: Json
    space: list[Json]
    search: Json
    objective: Json
    created_at: datetime
    ended_at: datetime | None


class TrialSchema(Schema):
    """One point of a sweep, and what came of its run."""

    id: int
    number: int
    values: Json
    run_id: int | None
    state: str
    message: str
    score: float | None
    low: float | None
    high: float | None


class ChangedSchema(Schema):
    """How many rows something has changed."""

    changed: int


class MadeSchema(Schema):
    """How many tasks are new, and how many of those that were asked for were there."""

    new: int
    known: int


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
