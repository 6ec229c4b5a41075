"""Which of two answers is better, and how much."""

from webapp.labeling.kinds.compare.answer import Answer, Choice
from webapp.labeling.kinds.compare.kind import KIND

__all__ = ["KIND", "Answer", "Choice"]
