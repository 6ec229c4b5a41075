"""What people may be in a project."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop


class Role(models.TextChoices):
    """What a member may do; each role includes the one before it."""

    ANNOTATOR = "annotator", _("Annotator")
    RESEARCHER = "researcher", _("Researcher")
    ADMIN = "admin", _("Admin")


NAMES = (gettext_noop("annotator"), gettext_noop("researcher"), gettext_noop("admin"))  # as stored
