"""The answer that a model should give, in somebody's own words."""

from webapp.labeling.kinds.demonstrate.answer import Answer
from webapp.labeling.kinds.demonstrate.kind import KIND

__all__ = ["KIND", "Answer"]
