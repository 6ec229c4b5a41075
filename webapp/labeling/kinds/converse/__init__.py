"""A conversation that somebody leads with models, one of whose two answers goes on at each turn."""

from webapp.labeling.kinds.converse.answer import Answer, TurnSaid
from webapp.labeling.kinds.converse.kind import KIND

__all__ = ["KIND", "Answer", "TurnSaid"]
