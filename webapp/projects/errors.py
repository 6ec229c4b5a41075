"""What the projects app refuses."""

from webapp.site.errors import Refusal


class PromptError(Refusal):
    """A prompt cannot be added as it is; the message says why."""


class ProjectError(Refusal):
    """A project cannot be changed as asked; the message says why."""
