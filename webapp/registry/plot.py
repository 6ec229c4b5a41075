"""A plot of points with their intervals, as places in a picture: no script draws it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from webapp.registry.smaller import Figure, Scale, SizeBoard, SmallModel

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 48  # of what stands around
TICKS = 5  # about so many on an axis
ROOM = 0.06  # of an axis that is left free at its ends


class Tick(NamedTuple):
    """A place on an axis and its words."""

    at: float
    words: str


class PlacedModel(NamedTuple):
    """A model's place, and the ends of its intervals."""

    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    number: int
    front: bool


class Picture(NamedTuple):
    """All that is drawn, in units of the picture."""

    points: list[PlacedModel]
    front: str  # the line through the front, as `points` of a polyline
    original: tuple[float, float]
    across: list[Tick]
    up: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


class PlotAxis(NamedTuple):
    """From which number to which one, and between which places."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a number is, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def picture_of(board: SizeBoard) -> Picture:
    """The board's models that have both numbers."""
    across = plot_axis(board.shown, board.across, LEFT, WIDTH - RIGHT)
    up = plot_axis(board.shown, board.up, HEIGHT - BOTTOM, TOP)
    points = [
        point_of(row, row.figures[board.across.name], row.figures[board.up.name], (across, up))
        for row in board.shown
    ]
    front = sorted((point for point in points if point.front), key=lambda point: point.x)
    return Picture(
        points,
        " ".join(f"{point.x},{point.y}" for point in front),
        (across.place(board.across.original), up.place(board.up.original)),
        ticks_of(across, percent=board.across.percent),
        ticks_of(up, percent=board.up.percent),
    )


def point_of(
    row: SmallModel, across: Figure, up: Figure, axes: tuple[PlotAxis, PlotAxis]
) -> PlacedModel:
    """Where a model stands."""
    first, second = axes
    left, right = (first.place(end) for end in across.ends)
    bottom, top = (second.place(end) for end in up.ends)
    x, y = first.place(across.value), second.place(up.value)
    return PlacedModel(x, y, left, right, top, bottom, row.number, row.front)


def plot_axis(rows: Sequence[SmallModel], scale: Scale, start: float, end: float) -> PlotAxis:
    """An axis that has room for all numbers with their intervals, and for the original."""
    values = [scale.original, *(end for row in rows for end in row.figures[scale.name].ends)]
    low, high = min(values), max(values)
    room = ROOM * (high - low) or ROOM * max(abs(high), ROOM)
    return PlotAxis(low - room, high + room, start, end)


def ticks_of(axis: PlotAxis, *, percent: bool) -> list[Tick]:
    """Round numbers along an axis."""
    step = round_step((axis.high - axis.low) / TICKS)
    first = math.ceil(axis.low / step)
    numbers = range(first, math.floor(axis.high / step) + 1)
    return [
        Tick(axis.place(n * step), tick_words(n * step, step, percent=percent)) for n in numbers
    ]


def round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, ... that is as large."""
    size = 10.0 ** math.floor(math.log10(least))
    return next(size * factor for factor in (1, 2, 5, 10) if size * factor >= least * (1 - 1e-9))


def tick_words(value: float, step: float, *, percent: bool) -> str:
    """A number with as many digits as its step has."""
    factor = 100 if percent else 1
    digits = max(0, -math.floor(math.log10(step * factor) + 1e-9))
    words = f"{factor * value:.{digits}f}"
    if float(words) == 0:
        words = words.removeprefix("-")
    return f"{words} %" if percent else words
