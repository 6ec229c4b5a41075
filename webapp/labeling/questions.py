"""Questions about tasks: an annotator asks, a researcher answers, and each is told."""

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Question
from webapp.labeling.services import LabelingError
from webapp.notifications.models import Occasion
from webapp.notifications.services import News, notify
from webapp.projects.access import Action, may
from webapp.projects.models import Project

LONGEST_QUESTION = 2_000  # characters, of an answer too
MOST_OPEN = 50  # questions of one person in a project
ANSWERS = [role for role in Role if may(role, Action.CHECK_LABELS)]


@transaction.atomic
def ask_question(assignment: Assignment, text: str) -> Question:
    """Ask the researchers of a project about a task; raises LabelingError where somebody asks without end."""
    person = assignment.annotator
    queue.lock(person)
    project = Project.objects.get(tasks=assignment.task_id)
    if project.questions.filter(by=person, answered_at=None).count() >= MOST_OPEN:
        raise LabelingError(
            _("So many questions of yours wait for an answer that no more can be asked.")
        )
    asked = Question.objects.create(
        task_id=assignment.task_id, project=project, by=person, text=text
    )
    record_act(Act.QUESTION_ASKED, person, project=project.pk, about=asked.pk)
    others = project.memberships.filter(role__in=ANSWERS).exclude(user=person)
    notify(others.values_list("user", flat=True), _news(asked, Occasion.QUESTION, text))
    return asked


@transaction.atomic
def answer_question(question: Question, text: str, *, by: User) -> None:
    """Answer a question once; raises LabelingError where somebody was quicker."""
    open_ = Question.objects.filter(pk=question.pk, answered_at=None)
    if not open_.update(answer=text, answered_by=by, answered_at=Now()):
        raise LabelingError(_("Somebody else has answered this question meanwhile."))
    record_act(Act.QUESTION_ANSWERED, by, project=question.project_id, about=question.pk)
    notify([question.by_id], _news(question, Occasion.ANSWER, question.text))


def questions_for(project: Project, person: User, role: Role) -> QuerySet[Question]:
    """All questions of a project for who may answer them, their own for others."""
    rows = project.questions.select_related("by", "answered_by", "task__prompt")
    return rows if role in ANSWERS else rows.filter(by=person)


def _news(question: Question, occasion: Occasion, text: str) -> News:
    url = reverse("labeling:questions", args=[question.project_id])
    return News(question.project_id, occasion, " ".join(text.split()), url)
