"""The job that erases a person's data: in many short transactions, each of which can be done again.

Who is erased can no longer sign in and has no name from the moment the job is asked for (`services`). First it is
noted which prompts and answers they wrote, so that snapshots with copies are found however often the job begins anew.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from shutil import rmtree

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from webapp.datasets.models import Erasure
from webapp.erasure.copies import exports_of, note_snapshots
from webapp.erasure.holdings import PersonalData
from webapp.jobs.models import Job
from webapp.jobs.work import Work
from webapp.labeling import queue
from webapp.labeling.cursors import lead_anew
from webapp.labeling.following import follow_answers
from webapp.labeling.models import Assignment, Completion, Gold, Label, Task
from webapp.projects.models import Prompt
from webapp.quality.models import Adjudication
from webapp.rendering.services import forget_renderings

State = Assignment.State


def erase_person(job: Job) -> Work:
    """Remove what the person of the payload gave, project by project."""
    theirs = Erasure.objects.filter(person=job.payload["person"]).order_by("pk")
    for erasure in theirs.select_related("project", "person"):
        yield from _erase(erasure)
    return partial(_finish, job.payload["person"])


def _finish(person: int) -> Mapping[str, int]:
    theirs = Erasure.objects.filter(person=person)
    theirs.filter(done_at=None).update(done_at=Now())
    return {"projects": theirs.count()}


def _erase(erasure: Erasure) -> Iterator[tuple[int, int]]:
    data = PersonalData(erasure.project, erasure.person)
    marks = _marked(erasure, data)
    total = len(marks["prompts"]) + data.assignments.count() + data.decisions.count() + 1
    for done, step in enumerate(_steps(erasure, data, marks["completions"])):
        _count(erasure, step)
        yield min(done, total), total
    note_snapshots(erasure)
    for job in exports_of(erasure):
        rmtree(job.folder, ignore_errors=True)
    yield total, total


def _marked(erasure: Erasure, data: PersonalData) -> dict[str, list[int]]:
    """What they wrote, kept before anything is removed."""
    if erasure.marks is None:
        prompts = list(data.prompts.values_list("key", flat=True))
        erasure.marks = {"prompts": prompts, "completions": data.answers()}
        erasure.save(update_fields=["marks"])
    marks: dict[str, list[int]] = erasure.marks
    return marks


Step = Mapping[str, int]  # how much of what one transaction removed


def _steps(erasure: Erasure, data: PersonalData, answers: list[int]) -> Iterator[Step]:
    """All that is to be removed, a transaction a step; each finds what is left."""
    for prompt in list(data.prompts.values_list("pk", flat=True)):
        yield _remove_prompt(prompt, erasure.person_id)
    for answer in answers:
        yield _remove_answer(answer, erasure.person_id)
    for assignment in list(data.assignments.order_by("pk").values_list("pk", flat=True)):
        yield _remove_assignment(assignment)
    for decision in list(data.decisions.order_by("pk").values_list("pk", flat=True)):
        yield _remove_decision(decision)
    yield _empty_rest(data)


@transaction.atomic
def _count(erasure: Erasure, step: Step) -> None:
    row = Erasure.objects.select_for_update().get(pk=erasure.pk)
    for name, n in step.items():
        row.counts[name] = row.counts.get(name, 0) + n
    row.save(update_fields=["counts"])


@transaction.atomic
def _remove_prompt(pk: int, person: int) -> Step:
    """Remove a prompt with all that was asked about it."""
    others = sum(_remove_task(task, person) for task in Task.every.filter(prompt=pk))
    answers = Completion.every.filter(prompt=pk)
    forget_renderings(answers.values_list("text", flat=True))
    forget_renderings(text for one in Prompt.every.filter(pk=pk) for text in one.spoken)
    answers.delete()
    gone, _rows = Prompt.every.filter(pk=pk).delete()
    return {"prompts": int(gone > 0), "others": others}


@transaction.atomic
def _remove_answer(pk: int, person: int) -> Step:
    """Remove an answer that others were asked about, with what they said."""
    others = sum(_remove_task(task, person) for task in Task.every.filter(items__completion=pk))
    answer = Completion.every.filter(pk=pk)
    forget_renderings(answer.values_list("text", flat=True))
    gone, _rows = answer.delete()
    return {"answers": int(gone > 0), "others": others}


def _remove_task(task: Task, person: int) -> int:
    """Remove a task with its labels; how many of those were by others. Repeats of it go as well."""
    others = sum(_remove_task(again, person) for again in Task.every.filter(repeat_of=task.pk))
    labels = Label.every.filter(task=task.pk)
    others += labels.exclude(annotator=person).count()
    _remove_labels(labels)
    Task.every.filter(pk=task.pk).delete()
    return others


def _remove_labels(labels: QuerySet[Label]) -> None:
    """Remove labels, and what was kept of their words as pages show them."""
    for answer, rationale in labels.values_list("answer", "rationale"):
        forget_renderings([rationale, *_texts(answer)])
    labels.delete()


def _texts(said: object) -> Iterator[str]:
    """All texts in a stored answer."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, dict | list):
        for one in said.values() if isinstance(said, dict) else said:
            yield from _texts(one)


@transaction.atomic
def _remove_assignment(pk: int) -> Step:
    """Remove what somebody said to a task, and give back the place that they had in it."""
    assignment = Assignment.objects.locked().filter(pk=pk).first()
    if assignment is None:
        return {}
    task, labels = assignment.task, Label.every.filter(assignment=pk)
    given = labels.count()
    if task.repeat_of_id is not None:  # asked of this person alone
        _remove_task(task, assignment.annotator_id)
        return {"labels": given}
    counted = labels.filter(counted=True).exists()
    _give_place_back(assignment, counted=counted)
    _remove_labels(labels)
    assignment.delete()
    Label.every.mark_disputes([task.pk])
    follow_answers(Task.every.get(pk=task.pk))
    if getattr(assignment, "third", False):
        queue.adapt_need(task.pk)
    return {"labels": given}


def _give_place_back(assignment: Assignment, *, counted: bool) -> None:
    held = counted or assignment.state in queue.KEPT
    skipped = assignment.state == State.SKIPPED
    Task.every.filter(pk=assignment.task_id).update(
        done=F("done") - int(counted), taken=F("taken") - int(held), skips=F("skips") - int(skipped)
    )


@transaction.atomic
def _remove_decision(pk: int) -> Step:
    """Remove a decision: the labels of its task speak again."""
    decision = Adjudication.objects.filter(pk=pk).first()
    if decision is None:
        return {}
    task = Task.every.select_for_update().get(pk=decision.task_id)
    decision.delete()
    follow_answers(task)
    return {"decisions": 1}


@transaction.atomic
def _empty_rest(data: PersonalData) -> Step:
    """Empty what stays for others: words to known answers; prompts that are not theirs lose their name."""
    Gold.objects.filter(task__project=data.project, by=data.person).update(explanation="")
    Prompt.every.filter(project=data.project, author=data.person).update(author=None)
    lead_anew(data.project)  # places came free in tasks that the queue has led others past
    return {}
