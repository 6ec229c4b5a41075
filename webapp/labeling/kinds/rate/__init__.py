"""How good answers are, each by itself."""

from webapp.labeling.kinds.rate.answer import Answer
from webapp.labeling.kinds.rate.kind import KIND

__all__ = ["KIND", "Answer"]
