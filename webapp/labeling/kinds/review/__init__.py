"""Whether a prompt that somebody wrote should be used."""

from webapp.labeling.kinds.review.answer import Answer
from webapp.labeling.kinds.review.kind import KIND

__all__ = ["KIND", "Answer"]
