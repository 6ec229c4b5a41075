"""An answer made better by whoever reads it."""

from webapp.labeling.kinds.edit.answer import Answer
from webapp.labeling.kinds.edit.kind import KIND

__all__ = ["KIND", "Answer"]
