"""What requests send."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from django.utils.translation import gettext_noop as _
from ninja import Schema
from pydantic import ConfigDict, Field

from webapp.api.paging import RowId
from webapp.webhooks.models import LONGEST_URL

Json = dict[str, Any]
Options = Annotated[
    Json, Field(description=_("The fields of the page's form; what is left out is as there."))
]


class Sent(Schema):
    """Something that a request sends; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class TurnSent(Sent):
    """One turn of a conversation."""

    role: str = Field(max_length=20, description=_("system, user or assistant"))
    content: str = Field(min_length=1, max_length=200_000)


class PromptSent(Sent):
    """A conversation that ends with the user's turn."""

    messages: list[TurnSent] = Field(min_length=1, max_length=200)


class PromptsSent(Sent):
    """Prompts to add; those that are there already stay as they are."""

    prompts: list[PromptSent] = Field(min_length=1, max_length=200)


class RowsSent(Sent):
    """Rows as a file would have them, and what they become."""

    rows: list[Json] = Field(min_length=1, max_length=2000)
    become: str = Field("tasks", max_length=40)
    options: Options = {}


class OptionsSent(Sent):
    """Choices of a page's form."""

    options: Options = {}


class SinceAsked(Sent):
    """The number of an earlier snapshot of the project; the last before, where none is given."""

    since: int | None = Field(None, ge=1, lt=2**31)


class ExportSent(Sent):
    """What to export, for whom."""

    snapshot: RowId
    format: str = Field(max_length=80)
    options: Options = {}


class LabelSent(Sent):
    """An answer to a task that was taken; `answer` has the fields of its kind's form."""

    assignment: RowId
    answer: Json
    client_id: UUID | None = Field(
        None, description=_("The same is stored once; the key's by default.")
    )
    rationale: str = ""
    flags: list[str] = Field([], max_length=50)
    visible_ms: int | None = Field(None, ge=0, lt=2**31)


class SkipSent(Sent):
    """A task that its person does not want to answer, and why."""

    assignment: RowId
    reason: str = Field("other", max_length=32)


class SettingsSent(Sent):
    """Of a kind of run its settings, and what it reads by role."""

    kind: str = Field(max_length=40)
    name: str = Field("", max_length=120, description=_("The kind's, where it is empty."))
    seed: int = Field(0, ge=0, lt=2**31)
    settings: Json = {}
    inputs: dict[str, RowId] = {}
    anyway: bool = Field(default=False, description=_("Start it though memory may not suffice."))


class RunSent(SettingsSent):
    """A run of some kind: its settings, and what it reads by role."""

    dry_run: bool = Field(
        default=False,
        description=_("One step of everything, of which nothing is kept but what it took."),
    )
    extends: RowId | None = Field(
        None,
        description=_("A finished run that it goes on from; what is left out is as there."),
    )


class RoundSent(Sent):
    """A round: a preset, and what is otherwise than there, by part."""

    preset: str = Field("balanced", max_length=40)
    snapshot: RowId | None = None
    policy: RowId | None = None
    backbone: RowId | None = None
    seed: int | None = Field(None, ge=0, lt=2**31)
    settings: dict[str, Json] = {}


class DecisionSent(Sent):
    """What is right about a task: as a label of it says, or an answer of its kind with the items by their places."""

    label: RowId | None = None
    answer: Json = {}
    rationale: str = ""


class BackSent(Sent):
    """A label that goes back to who gave it, and what they are told."""

    label: RowId
    note: str = Field("", max_length=10_000)


class CheckSent(Sent):
    """What people hear of a check, or that it is none any more."""

    explanation: str = Field("", max_length=10_000)
    end: bool = False


class TasksSent(Sent):
    """Tasks, and what is done with them: again, more, person, nobody, or the band that they come into."""

    tasks: list[RowId] = Field(min_length=1, max_length=1000)
    act: str = Field(max_length=20)
    need: int | None = Field(None, ge=1, le=20)
    person: RowId | None = None


class ScaleSent(Sent):
    """A scale of the project beside quality."""

    name: str = Field(max_length=40)
    low: str = Field("", max_length=40)
    high: str = Field("", max_length=40)
    levels: int = Field(7, ge=2, le=9)


class FormSent(OptionsSent):
    """How tasks are asked from now on; scales that are left out stay as they are."""

    attributes: list[ScaleSent] | None = Field(None, max_length=4)


class MemberSent(Sent):
    """Somebody who has an account, and what they may do."""

    username: str = Field(max_length=150)
    role: str = Field(max_length=16)


class RoleSent(Sent):
    """What a member may do."""

    role: str = Field(max_length=16)


class InvitationSent(RoleSent):
    """What an invited person may do, and who it is for."""

    note: str = Field("", max_length=200)


class SweepSent(SettingsSent):
    """A run again and again: which settings it varies and over what, towards what, and how it searches."""

    vary: dict[str, str] = Field(
        description=_("The values of each setting that is varied, as its page takes them.")
    )
    objective: str = Field(max_length=120)
    better: str = Field(max_length=10)
    watched: str = Field("", max_length=120)
    search: Json = {}


class AuditAsked(Schema):
    """Which rows of the audit log are asked for; days are of UTC, both included."""

    person: RowId | None = None
    act: str = ""
    thing: str = ""
    number: RowId | None = None
    since: date | None = None
    until: date | None = None


class WebhookSent(Sent):
    """Where to send, and which acts (names as the audit log has them)."""

    url: str = Field(max_length=LONGEST_URL)
    acts: list[str] = Field(min_length=1, max_length=100)
