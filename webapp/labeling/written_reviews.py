"""What others say of an answer that somebody wrote: a table of labelling, whose other tables are in `models`."""

from django.db import models

from webapp.projects.models import PromptStanding


class WrittenReview(models.Model):
    """An answer that somebody wrote and others judge before it is used; one without is used at once."""

    label = models.OneToOneField("labeling.Label", models.CASCADE, related_name="review")
    task = models.ForeignKey("labeling.Task", models.CASCADE, related_name="reviewed")  # asks of it
    standing = models.CharField(
        max_length=16, choices=PromptStanding, default=PromptStanding.WAITING
    )

    @property
    def in_words(self) -> str:
        """Where it stands, for a table; nothing once it is accepted."""
        standing = PromptStanding(self.standing)
        return "" if standing == PromptStanding.ACCEPTED else str(standing.label)
