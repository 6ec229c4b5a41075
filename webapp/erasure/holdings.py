"""What there is of a person in a project, counted before and removed by `work`."""

from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from webapp.accounts.models import User
from webapp.labeling.exchanges import Exchange
from webapp.labeling.models import Assignment, Completion, Label, LabelQuerySet, Task, TaskQuerySet
from webapp.projects.models import Project, Prompt
from webapp.quality.models import Adjudication
from webapp.site.pages import count_up_to, in_figures

WRITTEN = "written:"  # begins the keys of answers that people write, before the assignment's


class PersonalData(NamedTuple):
    """A person in one project, and what there is of them: rows, none of which is read yet."""

    project: Project
    person: User

    @property
    def labels(self) -> LabelQuerySet:
        """All that they answered, superseded and retracted answers too."""
        return Label.every.filter(project=self.project, annotator=self.person)

    @property
    def assignments(self) -> QuerySet[Assignment]:
        """The tasks that they were given, with drafts and skips."""
        return Assignment.objects.filter(task__project=self.project, annotator=self.person)

    @property
    def prompts(self) -> QuerySet[Prompt]:
        """The prompts that they wrote, and those that a conversation of theirs with models has come to."""
        wrote = Q(author=self.person, source=Prompt.Source.WRITTEN)
        turns = Exchange.objects.filter(assignment__annotator=self.person).exclude(said="")
        return Prompt.every.filter(wrote | Q(pk__in=turns.values("prompt")), project=self.project)

    @property
    def decisions(self) -> QuerySet[Adjudication]:
        """What they decided about disagreements."""
        return Adjudication.objects.filter(task__project=self.project, by=self.person)

    def answers(self) -> list[int]:
        """The stored answers that they wrote, which others were asked about."""
        given = list(self.assignments.values_list("pk", flat=True))
        human = Completion.every.filter(
            prompt__project=self.project, source=Completion.Source.HUMAN, key__startswith=WRITTEN
        )
        theirs = {f"{WRITTEN}{key}:" for key in given}
        keys = human.values_list("pk", "key")
        return [pk for pk, key in keys if key[: key.rfind(":") + 1] in theirs]

    def tasks_about(self, answers: list[int]) -> TaskQuerySet:
        """The tasks that ask about their prompts, or about these answers of theirs."""
        about = Q(prompt__in=self.prompts) | Q(items__completion__in=answers)
        return Task.every.filter(about, project=self.project).distinct()

    @property
    def exists(self) -> bool:
        """Whether there is anything."""
        rows = (self.labels, self.assignments, self.prompts, self.decisions)
        return any(one.exists() for one in rows)


def projects_of(person: User) -> QuerySet[Project]:
    """The projects in which there may be something of a person."""
    given = Assignment.objects.filter(task__project=OuterRef("pk"), annotator=person)
    wrote = Prompt.every.filter(project=OuterRef("pk"), author=person)
    decided = Adjudication.objects.filter(task__project=OuterRef("pk"), by=person)
    there = Exists(given) | Exists(wrote) | Exists(decided)
    return Project.objects.filter(there | Q(memberships__user=person)).distinct()


def holdings_in_words(data: PersonalData) -> list[tuple[str, str]]:
    """What would go, counted up to a limit: names and numbers."""
    answers = data.answers()
    others = Label.every.filter(task__in=data.tasks_about(answers)).exclude(annotator=data.person)
    reasons = data.labels.exclude(rationale="")
    drafts = data.assignments.exclude(draft={})
    counted = [
        (_("Labels, those that were changed or taken back too"), data.labels),
        (_("Reasons given with labels"), reasons),
        (_("Drafts"), drafts),
        (_("Prompts written"), data.prompts),
        (_("Decisions about disagreements"), data.decisions),
        (_("Labels by others about what this person wrote"), others),
    ]
    told = [(words, in_figures(count_up_to(rows))) for words, rows in counted]
    return [*told, (_("Written answers that others were asked about"), f"{len(answers):,}")]
