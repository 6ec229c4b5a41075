"""Which numbers of its steps a kind of run draws as curves, and in which words."""

from enum import Enum
from typing import NamedTuple


class Place(Enum):
    """Where a curve stands on a run's page."""

    FIRST = "first"  # in sight, with room kept for it while the run works
    MORE = "more"  # folded away
    SOME = "some"  # folded away, and only where some setting makes it


class Curve(NamedTuple):
    """One number over steps, or one of each agent: kl/reference, kl/reference@forward_kl."""

    key: str  # of the metric, before the agent's name
    title: str
    axis: str  # with its unit
    place: Place = Place.FIRST
