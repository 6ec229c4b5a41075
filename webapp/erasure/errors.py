"""What erasing refuses."""

from webapp.site.errors import Refusal


class ErasureError(Refusal):
    """A person's data cannot be erased by who asks, or not now; the message says why."""
