"""What webhooks refuse."""

from webapp.site.errors import Refusal


class WebhookError(Refusal):
    """A webhook cannot be made, or reached; the message says why."""
