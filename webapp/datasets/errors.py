"""What the datasets app refuses."""

from webapp.site.errors import Refusal


class SnapshotError(Refusal):
    """There is nothing to freeze; the message says what to do first."""


class ImportRefusal(Refusal):
    """A file cannot be imported as it is; the message names the lines."""


class NoRows(ImportRefusal):
    """A file is of a kind that holds no rows; the message says what it is."""


class ExportRefusal(Refusal):
    """A snapshot does not fit what was asked for; the message says what does."""
