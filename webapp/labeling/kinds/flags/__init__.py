"""Which flags hold for one answer."""

from webapp.labeling.kinds.flags.answer import Answer
from webapp.labeling.kinds.flags.kind import KIND

__all__ = ["KIND", "Answer"]
