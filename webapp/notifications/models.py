"""What somebody is told of, and what they want to hear of."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from webapp.projects.models import Project
from webapp.rendering.names import NameField


class Occasion(models.TextChoices):
    """What happened, as the page of choices calls it."""

    RUN = "run", _("A run that I started has ended")
    JOB = "job", _("An import, export or other job that I asked for has ended")
    QUESTION = "question", _("Somebody asks about a task")
    ANSWER = "answer", _("My question about a task is answered")
    WISH = "wish", _("A project of mine wants prompts or answers")


# What is said of it, by its kind and how it ended.
SENTENCES = {
    "run:succeeded": _("The run “{what}” has succeeded."),
    "run:failed": _("The run “{what}” has failed."),
    "job:done": _("Done: {what}"),
    "job:failed": _("Failed: {what}"),
    "question:": _("A question about a task: {what}"),
    "answer:": _("Your question about a task is answered: {what}"),
    "wish:": _("Wanted: {what}"),
}


class Notification(models.Model):
    """Something that happened, for one person; kept for a while."""

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="notifications"
    )
    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16, choices=Occasion)
    outcome = models.CharField(max_length=16, blank=True)
    what = NameField(max_length=200)
    url = models.CharField(max_length=200)
    unread = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["person", "id"], name="notification_listed")]

    @property
    def sentence(self) -> str:
        """What is said of it, in the reader's language."""
        said = SENTENCES.get(f"{self.kind}:{self.outcome}", "{what}")
        return str(said).format(what=gettext(self.what))


class Subscription(models.Model):
    """What somebody does not want to hear of, and whether what they were told is mailed once a day."""

    person = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="subscription"
    )
    muted = models.JSONField(default=list)  # kinds
    digest = models.BooleanField(default=False)
    mailed_at = models.DateTimeField(
        db_default=Now()
    )  # what happened before was in a mail, or too early
