"""Whether one answer is good."""

from webapp.labeling.kinds.thumbs.answer import Answer
from webapp.labeling.kinds.thumbs.kind import KIND

__all__ = ["KIND", "Answer"]
