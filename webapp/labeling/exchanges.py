"""Turns of conversations that people lead with models: a table of labelling, whose other tables are in `models`."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Now

from webapp.projects.models import Prompt

if TYPE_CHECKING:
    from webapp.labeling.models import Completion

TIE = 4  # of a comparison's scale: the first answer is better below it


class Exchange(models.Model):
    """One turn of a conversation: what somebody said, two answers of models as they stand, and which of them goes on."""

    assignment = models.ForeignKey("labeling.Assignment", models.CASCADE, related_name="exchanges")
    number = models.IntegerField()  # from 1
    said = models.TextField(blank=True)  # nothing in the first one: the task's prompt speaks
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="exchanges")  # all up to here
    left = models.ForeignKey("labeling.Completion", models.CASCADE, null=True, related_name="+")
    right = models.ForeignKey("labeling.Completion", models.CASCADE, null=True, related_name="+")
    choice = models.IntegerField(null=True)  # on the scale of a comparison
    form = models.IntegerField(default=0)  # number of the project's form; 0: not known
    job = models.ForeignKey("jobs.Job", models.SET_NULL, null=True, related_name="exchanges")
    seen_at = models.DateTimeField(db_default=Now())  # when somebody last waited for the answers
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["assignment", "number"], name="exchange_once")
        ]

    @property
    def chosen(self) -> "Completion | None":
        """The answer with which the conversation goes on."""
        if self.choice is None:
            return None
        return self.left if self.choice < TIE else self.right

    @property
    def is_answered(self) -> bool:
        """Whether both answers are there."""
        return self.left_id is not None and self.right_id is not None
