"""Answers that people write, each of which other people judge before it is used, in projects that want it."""

import secrets
from hashlib import sha256

from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Greatest
from django.utils import timezone

from webapp.labeling.models import (
    OWN,
    Assignment,
    Completion,
    Label,
    Task,
    TaskItem,
    identity_of,
)
from webapp.labeling.written_reviews import WrittenReview

REVIEW = "review"  # the kind of task
BEFORE_OTHERS = 50  # its priority
KEY_DIGITS = 32


def ask_about_written(task: Task, new: Label | None = None) -> None:
    """Let others judge each answer to the task as it is now; nobody is asked any more about what it was before.

    Where one is new that took no other's place, nothing was before.
    """
    if new is None or new.replaced:
        _end_reviews(task)
    if not task.project.answer_reviews:
        return
    unasked = Label.objects.current().filter(task=task, imported=False, review=None)
    for label in unasked.select_related("task__project"):
        WrittenReview.objects.create(label=label, task=_review_of(label))


def _end_reviews(task: Task) -> None:
    """Close the reviews of answers to the task that speak no more."""
    speaking = WrittenReview.objects.filter(task=OuterRef("pk"), label__in=Label.objects.current())
    over = Task.every.filter(~Exists(speaking), reviewed__label__task=task, taken__lt=F("need"))
    Task.every.filter(pk__in=list(over.values_list("pk", flat=True))).update(need=F("taken"))


def _review_of(label: Label) -> Task:
    """The task that asks about what a label says: the same words by the same person are asked about once."""
    task, reviews = label.task, label.task.project.answer_reviews
    written = _completion_of(label)
    review, created = Task.every.get_or_create(
        identity=identity_of(REVIEW, task.prompt_id, [written.pk]),
        defaults={
            "project_id": task.project_id,
            "kind": REVIEW,
            "prompt_id": task.prompt_id,
            "size": 1,
            "need": reviews,
            "priority": BEFORE_OTHERS,
            "key": secrets.randbits(62),
            "flip": 0,
            "language": task.language,
        },
    )
    if created:
        TaskItem.objects.create(task=review, place=0, completion=written)
        leave_out(review, label.annotator_id)
    Task.every.filter(pk=review.pk).let_open(need=Greatest(F("need"), reviews))
    return review


def _completion_of(label: Label) -> Completion:
    """What somebody wrote, as an answer to the prompt."""
    text = label.asks.reviewed(label.said)
    digest = sha256(text.encode()).hexdigest()[:KEY_DIGITS]
    written, _created = Completion.every.get_or_create(
        prompt_id=label.task.prompt_id,
        key=f"written:{label.assignment_id}:{digest}",
        defaults={"text": text, "source": Completion.Source.HUMAN},
    )
    return written


def leave_out(task: Task, author_id: int) -> None:
    """Never ask somebody about what they wrote."""
    Assignment.objects.get_or_create(
        task=task,
        annotator_id=author_id,
        defaults={
            "slot": 0,
            "state": Assignment.State.SKIPPED,
            "skip_reason": OWN,
            "lease_until": timezone.now(),
        },
    )
