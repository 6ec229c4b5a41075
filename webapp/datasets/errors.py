"""What the datasets app refuses."""

from webapp.errors import Refusal


class SnapshotError(Refusal):
    """There is nothing to freeze; the message says what to do first."""
