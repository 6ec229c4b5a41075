"""What the runs app refuses."""

from webapp.site.errors import Refusal


class RunError(Refusal):
    """A run cannot be started, stopped or resumed as asked; the message says why."""
