"""What the accounts app refuses."""

from webapp.site.errors import Refusal


class AccountError(Refusal):
    """An account cannot be made or a membership changed as asked; the message says why."""
