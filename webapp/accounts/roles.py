"""What people may be in a project."""

from django.db import models


class Role(models.TextChoices):
    """What a member may do; each role includes the one before it."""

    ANNOTATOR = "annotator"
    RESEARCHER = "researcher"
    ADMIN = "admin"
