"""What a sweep varies: settings of a kind of run, each with its values or its range; and what was tried of it."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple, cast, get_origin

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from alignment.kinds.kind import Kind
from alignment.seam.settings import extra_of, words_of
from webapp.site.errors import Refusal

Value = bool | int | float | str
POINTS = 5  # of a range in a grid
MOST_VALUES = 50
FAR = 30  # times the smallest value: plots show such values by their logarithm
RANGE = re.compile(r"(\S+)\s+to\s+(\S+?)(\s+log)?", re.IGNORECASE)


class SpaceError(Refusal):
    """These are no values of that setting."""


class Dimension(BaseModel):
    """One setting that is varied: over some values, or over a range, evenly or by its logarithm."""

    model_config = ConfigDict(frozen=True)

    name: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False  # numbers of the range

    @property
    def is_range(self) -> bool:
        """Whether anything between two numbers is possible."""
        return not self.values

    @property
    def points(self) -> tuple[Value, ...]:
        """The values, or of a range some that lie at equal distances."""
        if self.values:
            return self.values
        shares = [place / (POINTS - 1) for place in range(POINTS)]
        found = [self._at(share) for share in shares]
        return tuple(dict.fromkeys(round(one) if self.whole else one for one in found))

    def _at(self, share: float) -> float:
        """The number at a share of the way from its low to its high end, which are exact."""
        if share in (0.0, 1.0):
            return self.high if share else self.low
        if self.log:
            return math.exp(math.log(self.low) + math.log(self.high / self.low) * share)
        return self.low + (self.high - self.low) * share

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, and no names or switches."""
        return all(
            isinstance(one, int | float) and not isinstance(one, bool) for one in self.values
        )

    @property
    def ends(self) -> tuple[Value, Value]:
        """The first and the last of what it may be."""
        return (self.values[0], self.values[-1]) if self.values else (self.low, self.high)

    def coordinate(self, value: Value) -> float:
        """A number for a plot's axis: itself, or of a name its place in the list."""
        return float(value) if self.is_number else float(self.values.index(value))

    def place(self, value: Value) -> float:
        """Where a value lies, from 0 to 1."""
        low, high, at = (self.coordinate(one) for one in (*self._extent, value))
        if self.by_log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low)

    @property
    def by_log(self) -> bool:
        """Whether plots show its numbers by their logarithm: where it was asked for, or they lie far apart."""
        low, high = (self.coordinate(one) for one in self._extent)
        return self.log or (self.is_number and bool(self.values) and 0 < FAR * low <= high)

    @property
    def _extent(self) -> tuple[Value, Value]:
        """The smallest and the largest; of names the first and the last."""
        return (min(self.values), max(self.values)) if self.values and self.is_number else self.ends


class Tried(NamedTuple):
    """A trial that was begun; its score once it has one, and whether it ended without."""

    values: Mapping[str, Value]
    score: float | None = None
    failed: bool = False


class AtRung(NamedTuple):
    """A trial's value at a rung; of several, in the order in which they came."""

    trial: int
    rung: int
    value: float | None


def varied(kind: Kind) -> dict[str, FieldInfo]:
    """The settings of a kind that a sweep can vary: numbers, switches and choices of one name."""
    return {
        name: info
        for name, info in kind.settings.model_fields.items()
        if name not in kind.fixed and (info.annotation in (int, float, bool) or is_choice(info))
    }


def is_choice(info: FieldInfo) -> bool:
    """Whether a setting takes one of some names."""
    return get_origin(info.annotation) is Literal


def parse_dimension(name: str, info: FieldInfo, text: str) -> Dimension:
    """What somebody wrote of a setting: “0.1, 0.3, 1”, “0.1 to 1”, “0.01 to 1 log”; nothing is all names.

    Raises SpaceError in words.
    """
    text = text.strip()
    if is_choice(info) or info.annotation is bool:
        return Dimension(name=name, values=_names(info, text))
    if found := RANGE.fullmatch(text):
        return _range(name, info, found)
    values = tuple(dict.fromkeys(_number(info, part) for part in _parts(text)))
    if len(values) < 2:
        raise SpaceError(_("Write several values, or a range: 0.1, 0.3, 1 or 0.01 to 1 log."))
    return Dimension(name=name, values=values)


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) > MOST_VALUES:
        raise SpaceError(_("At most {n} values.").format(n=MOST_VALUES))
    return parts


def _names(info: FieldInfo, text: str) -> tuple[Value, ...]:
    """The names that are meant, by themselves or by their words; all where nothing is said."""
    if info.annotation is bool:
        return (False, True)
    words = words_of(info)
    meant = {_(said).casefold(): name for name, said in words.items()} | {
        name.casefold(): name for name in words
    }
    parts = _parts(text) or list(words)
    if unknown := [part for part in parts if part.casefold() not in meant]:
        raise SpaceError(
            _("There is no “{name}”; there are {names}.").format(
                name=unknown[0], names=", ".join(words)
            )
        )
    values = tuple(dict.fromkeys(meant[part.casefold()] for part in parts))
    if len(values) < 2:
        raise SpaceError(_("Name two or more, or leave it empty for all."))
    return values


def _range(name: str, info: FieldInfo, found: re.Match[str]) -> Dimension:
    low, high, log = _number(info, found[1]), _number(info, found[2]), bool(found[3])
    if not low < high:
        raise SpaceError(_("A range goes from a smaller number to a larger one."))
    if log and low <= 0:
        raise SpaceError(_("A range by the logarithm begins above 0."))
    return Dimension(name=name, low=low, high=high, log=log, whole=info.annotation is int)


def _number(info: FieldInfo, text: str) -> float:
    """A number that the setting takes."""
    kind, rules = cast("type[float]", info.annotation), info.metadata
    try:
        plain = TypeAdapter(kind).validate_python(text)
        ruled: Any = Annotated[(kind, *rules)] if rules else kind
        number = TypeAdapter[float](ruled).validate_python(plain)
    except ValidationError as error:
        said = _(error.errors()[0]["msg"])
        raise SpaceError(f"{text}: {said[0].lower()}{said[1:]}.") from error
    if not math.isfinite(number):
        raise SpaceError(_("{text} is no finite number.").format(text=text))
    return number


def grid_size(space: Sequence[Dimension]) -> int:
    """How many combinations a grid has."""
    return math.prod(len(one.points) for one in space)


def is_listed(method: str, space: Sequence[Dimension]) -> bool:
    """Whether a method goes through a list of points: a grid, or by chance what has values alone."""
    chance = method in ("random", "asha", "learned") and not any(one.is_range for one in space)
    return method == "grid" or chance


def grid_points(space: Sequence[Dimension]) -> Iterator[Mapping[str, Value]]:
    """Every combination of values, a range's points standing for it."""
    for values in product(*(one.points for one in space)):
        yield {one.name: value for one, value in zip(space, values, strict=True)}


def unit_of(info: FieldInfo) -> str:
    """What a setting's numbers count; nothing where they count nothing."""
    return extra_of(info)["unit"]
