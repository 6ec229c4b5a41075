"""Which curves a run's page draws, and in which words and units."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from alignment.kinds import KINDS
from alignment.kinds.settings.divergences import agent_title
from alignment.seam.curves import Curve, Place
from webapp.runs.points import Point


def charts_for(kind: str, keys: Collection[str], *, live: bool) -> tuple[list[Curve], list[Curve]]:
    """The curves in sight and those that are folded; a live run has room for what is still to come."""
    drawn, known = {key.partition("@")[0] for key in keys}, KINDS[kind].curves
    shown = [one for one in known if one.key in drawn or (live and one.place != Place.SOME)]
    main = [one for one in shown if one.place == Place.FIRST]
    more = sorted(
        (one for one in shown if one.place != Place.FIRST), key=lambda one: one.place == Place.SOME
    )
    others = sorted(drawn - {one.key for one in known})
    return main, more + [Curve(key, key, key, Place.MORE) for key in others]


class Table(NamedTuple):
    """A chart in numbers: a column per curve, a row per step; empty before there are any."""

    keys: list[str]
    titles: list[str]
    rows: list[tuple[int, list[float | None]]]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw yet."""
        return not self.rows

    @property
    def query(self) -> str:
        """What asks for its curves alone."""
        return urlencode([("key", key) for key in self.keys], safe="/")


def table_of(chart: Curve, series: Mapping[str, Sequence[Point]]) -> Table:
    """The curves of a chart side by side."""
    keys = [key for key in series if key.partition("@")[0] == chart.key] or [chart.key]
    titles = [agent_title(key.partition("@")[2]) or _(chart.axis) for key in keys]
    columns = [{point.step: point.value for point in series.get(key, [])} for key in keys]
    steps = sorted(set().union(*columns))
    return Table(keys, titles, [(step, [row.get(step) for row in columns]) for step in steps])
