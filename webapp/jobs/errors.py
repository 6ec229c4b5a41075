"""What jobs refuse."""

from webapp.site.errors import Refusal


class JobError(Refusal):
    """A job cannot do what it was asked; the message says why and what to try."""


class NotYet(Exception):
    """A job cannot be done before something else is over; the message says what, and it is tried again."""
