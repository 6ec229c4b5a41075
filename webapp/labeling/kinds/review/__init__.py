"""Whether a prompt or an answer that somebody wrote should be used."""

from webapp.labeling.kinds.review.answer import Answer
from webapp.labeling.kinds.review.kind import KIND

__all__ = ["KIND", "Answer"]
