"""Decisions of researchers about tasks on which people disagree: made, replaced and taken back, never erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling.checks import end_gold, make_gold
from webapp.labeling.following import follow_answers
from webapp.labeling.models import Gold, Label, Task
from webapp.labeling.services import said_columns
from webapp.quality.models import Adjudication
from webapp.site.errors import Refusal


class AdjudicationError(Refusal):
    """A decision that cannot be stored, and why."""


@dataclass(frozen=True)
class Decision:
    """An answer to a task whose items stood in this order, and why it is the right one."""

    answer: object
    order: Sequence[int]
    rationale: str = ""

    @classmethod
    def like(cls, label: Label, rationale: str = "") -> "Decision":
        """What somebody has answered."""
        return cls(label.answer, label.order, rationale)

    @classmethod
    def by_place(cls, task: Task, answer: object, rationale: str = "") -> "Decision":
        """An answer of who sees the items in the order of their places."""
        return cls(answer, range(task.size), rationale)


@transaction.atomic
def adjudicate(task: Task, decision: Decision, *, by: User, key: UUID) -> Adjudication:
    """Let a decision speak for the task; one before it stands no more. Sent again, it is stored once.

    Raises AdjudicationError for what is no answer to the task.
    """
    Task.every.select_for_update().get(pk=task.pk)  # one decision at a time
    if known := Adjudication.objects.filter(key=key).first():
        return known
    try:
        said = said_columns(task, decision.order, decision.answer)
    except ValueError:
        raise AdjudicationError(_("That is no answer to this task: nothing was decided.")) from None
    task.adjudications.standing().update(standing=False, ended_by=by)
    if Gold.objects.filter(task=task).exists():
        make_gold(task, said, by=by)
    made = Adjudication.objects.create(
        task=task, by=by, key=key, rationale=decision.rationale, **said
    )
    follow_answers(task)
    record_act(Act.TASK_DECIDED, by, project=task.project_id, about=task.pk)
    return made


@transaction.atomic
def use_as_check(task: Task, explanation: str, *, by: User) -> None:
    """Ask annotators this task to check them: they hear whether they are right. AdjudicationError while nothing is decided."""
    decision = task.adjudications.standing().first()
    if decision is None:
        raise AdjudicationError(_("Decide first what is right: a check needs a known answer."))
    known = {name: getattr(decision, name) for name in ("answer", "order", "verdict")}
    make_gold(task, known, by=by, explanation=explanation)
    record_act(Act.CHECK_MADE, by, project=task.project_id, about=task.pk)


@transaction.atomic
def end_check(task: Task, *, by: User) -> None:
    """Let a task check nobody any more."""
    if end_gold(task):
        record_act(Act.CHECK_ENDED, by, project=task.project_id, about=task.pk)


@transaction.atomic
def take_decision_back(task: Task, *, by: User) -> bool:
    """Take the decision about a task back, so that its labels speak again; whether there was one.

    A check that stood on it ends, too.
    """
    end_gold(task)
    ended = task.adjudications.standing().update(standing=False, ended_by=by)
    follow_answers(task)
    if ended:
        record_act(Act.TASK_UNDECIDED, by, project=task.project_id, about=task.pk)
    return bool(ended)
