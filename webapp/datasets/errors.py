"""What the datasets app refuses."""

from django.utils.translation import gettext_noop as _

from webapp.jobs.errors import NotYet
from webapp.site.errors import Refusal
from webapp.site.words import Words


class SnapshotError(Refusal):
    """There is nothing to freeze; the message says what to do first."""


class ImportRefusal(Refusal):
    """A file cannot be imported as it is; the message names the lines."""


class IntakeUnderWay(NotYet):
    """Another import into the same project is not over yet."""

    def __init__(self) -> None:
        super().__init__(_("Waits until another import into this project is over."))


class NoRows(ImportRefusal):
    """A file is of a kind that holds no rows; the message says what it is, and `what` that alone."""

    def __init__(self, message: str, what: Words = "") -> None:
        super().__init__(message)
        self.what = str(what)


class ExportRefusal(Refusal):
    """A snapshot does not fit what was asked for; the message says what does."""
