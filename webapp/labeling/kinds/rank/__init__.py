"""From best to worst, with ties."""

from webapp.labeling.kinds.rank.answer import Answer
from webapp.labeling.kinds.rank.kind import KIND

__all__ = ["KIND", "Answer"]
