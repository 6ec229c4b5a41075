"""What the runs app refuses, and the one signal that a run is no longer ours."""

from webapp.site.errors import Refusal


class RunError(Refusal):
    """A run cannot be started, stopped or resumed as asked; the message says why."""


class LostLease(Exception):
    """Another epoch of the run has begun, or may have: nothing more may be written about it."""
