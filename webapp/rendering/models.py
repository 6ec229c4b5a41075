"""What was rendered, kept by the text it was made of."""

from django.db import models

VERSION = 2  # of what the renderer makes of a text: one more whenever that changes


class RenderingQuerySet(models.QuerySet["Rendering"]):
    """Renderings by what they are of."""

    def of(self, digests: list[str]) -> "RenderingQuerySet":
        """Those of these texts, made by the renderer of today."""
        return self.filter(digest__in=digests, version=VERSION)


class Rendering(models.Model):
    """One text as it is shown; a newer version of the renderer replaces it."""

    digest = models.CharField(max_length=64, unique=True)  # sha256 of the text
    version = models.IntegerField()  # of the renderer
    html = models.TextField(blank=True)  # empty where the text is shown as written
    why = models.CharField(max_length=120, blank=True)  # it is shown as written
    look = models.CharField(max_length=64, blank=True)  # the same for texts that look alike

    objects = RenderingQuerySet.as_manager()
