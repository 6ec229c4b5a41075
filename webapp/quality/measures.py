"""What labels say of agreement, and of how each person answers: fed task by task, then told in figures."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from webapp.labeling.kinds import TASK_KINDS
from webapp.quality.agreement import (
    Value,
    alpha_with_interval,
    pairs_agreeing,
    share,
    verdict_value,
)
from webapp.quality.readings import AnsweredTask, KnownAnswer, LabelReading, Origin

FASTEST = 100  # characters a second: nobody reads as much
RATIOS = ("agrees", "left", "longer", "fast", "gold", "again")  # of a person
RULERS = ("longest", "shortest", "left", "random")  # that look at no meaning


@dataclass
class Ratio:
    """How often something held, among so many."""

    hits: float = 0.0
    number: int = 0

    def add(self, held: float) -> None:
        """Count one more."""
        self.hits += held
        self.number += 1

    def figures(self) -> dict[str, Any]:
        """With its interval."""
        return share(self.hits, self.number)._asdict()


@dataclass
class Habits:
    """How one person answers."""

    labels: int = 0
    agrees: Ratio = field(default_factory=Ratio)  # with others, a task at a time
    left: Ratio = field(default_factory=Ratio)  # of choices between two
    longer: Ratio = field(default_factory=Ratio)  # of choices between two of different lengths
    fast: Ratio = field(default_factory=Ratio)  # of answers whose time is known
    gold: Ratio = field(default_factory=Ratio)  # of checks: right
    again: Ratio = field(default_factory=Ratio)  # of silent repeats: the same as before
    visible: list[int] = field(default_factory=list)  # ms

    def look_at(self, reading: LabelReading, lengths: Sequence[int]) -> None:
        """Count one label of theirs."""
        self.labels += 1
        chosen = reading.chosen
        if chosen is not None:
            self.left.add(chosen == 0)
        if (longer := _longer_chosen(reading, chosen, lengths)) is not None:
            self.longer.add(longer)
        if reading.visible_ms is not None:
            self.visible.append(reading.visible_ms)
            self.fast.add(reading.visible_ms * FASTEST < 1000 * sum(lengths))

    def figures(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        ratios = {name: getattr(self, name).figures() for name in RATIOS}
        seen = median(self.visible) if self.visible else None
        return {"labels": self.labels, "visible_ms": seen} | ratios


def _longer_chosen(
    reading: LabelReading, chosen: int | None, lengths: Sequence[int]
) -> bool | None:
    """Whether the longer of two answers was preferred; None where neither was, or they are equally long."""
    if chosen is None or len(lengths) != 2 or lengths[0] == lengths[1]:
        return None
    places = reading.order
    return lengths[places[chosen]] > lengths[places[1 - chosen]]


class Measures:
    """Figures of a project that grow with each task that is fed."""

    def __init__(self) -> None:
        self.habits: dict[tuple[Origin, int], Habits] = defaultdict(Habits)
        self.units: dict[tuple[Origin, str], list[list[str]]] = defaultdict(list)
        self.rulers: dict[str, Ratio] = {name: Ratio() for name in RULERS}
        self.gold_rulers: dict[str, Ratio] = {name: Ratio() for name in RULERS}
        self.gold, self.again = Ratio(), Ratio()  # of people, all together
        self.labels: Counter[str] = Counter()

    def feed(self, answered: AnsweredTask) -> None:
        """Count a task."""
        for reading in answered.readings:
            self.labels[reading.origin] += 1
            self.habits[reading.origin, reading.annotator].look_at(reading, answered.lengths)
        if answered.before is not None:
            self._check_repeat(answered, answered.before)
        elif answered.gold is None:
            self._check_agreement(answered)
        else:
            first = [one for one in answered.readings if one.label <= answered.gold.after]
            self._check_agreement(answered._replace(readings=first))
            self._check_gold(answered, answered.gold)

    def _check_gold(self, answered: AnsweredTask, known: KnownAnswer) -> None:
        """A known answer says who is right; what people say alike because it is known is no agreement."""
        for reading in answered.readings:
            if reading.label <= known.after:
                continue
            right = reading.verdict == known.verdict
            self.habits[reading.origin, reading.annotator].gold.add(right)
            if reading.origin is Origin.PEOPLE:
                self.gold.add(right)
                _hold(self.gold_rulers, known.preferred, reading.order, answered.lengths)

    def _check_repeat(self, answered: AnsweredTask, before: Mapping[int, str]) -> None:
        """Whether somebody says of the same task what they said before."""
        for reading in answered.readings:
            if (said := before.get(reading.annotator)) is not None:
                self.habits[reading.origin, reading.annotator].again.add(said == reading.verdict)
                if reading.origin is Origin.PEOPLE:
                    self.again.add(said == reading.verdict)

    def _check_agreement(self, answered: AnsweredTask) -> None:
        """What people say of a task that is new to each of them."""
        for origin in Origin:
            mine = [one for one in answered.readings if one.origin is origin and one.counted]
            if len(mine) > 1:
                self._compare(origin, mine)
            if origin is Origin.PEOPLE:
                for reading in mine:
                    chosen = reading.chosen
                    place = None if chosen is None else reading.order[chosen]
                    _hold(self.rulers, place, reading.order, answered.lengths)

    def _compare(self, origin: Origin, readings: Sequence[LabelReading]) -> None:
        """What people said of one task, with what others of their kind said."""
        verdicts = [one.verdict for one in readings]
        self.units[origin, readings[0].kind].append(verdicts)
        often = Counter(verdicts)
        for reading in readings:
            others = (often[reading.verdict] - 1) / (len(readings) - 1)
            self.habits[origin, reading.annotator].agrees.add(others)

    def figures(self) -> dict[str, Any]:
        """All of it, as JSON holds it: by origin, and of each person."""
        people = sorted(self.habits.items(), key=lambda one: (-one[1].labels, one[0]))
        return {
            "labels": dict(self.labels),
            "origins": {origin: found for origin in Origin if (found := self._of(origin))},
            "people": [
                {"annotator": annotator, "origin": origin} | habits.figures()
                for (origin, annotator), habits in people
            ],
            "rulers": {name: ratio.figures() for name, ratio in self.rulers.items()},
            "gold": self.gold.figures(),
            "again": self.again.figures(),
            "gold_rulers": {name: one.figures() for name, one in self.gold_rulers.items()},
        }

    def _of(self, origin: Origin) -> dict[str, Any]:
        """The agreement of labels of one origin: all together by pairs, and kind by kind."""
        kinds = {kind: found for (one, kind), found in self.units.items() if one is origin}
        if not kinds:
            return {}
        alike = pairs_agreeing(unit for found in kinds.values() for unit in found)
        return {
            "pairs": alike._asdict(),
            "kinds": {kind: _agreement(kind, found) for kind, found in sorted(kinds.items())},
        }


def _hold(
    rulers: Mapping[str, Ratio], place: int | None, order: Sequence[int], lengths: Sequence[int]
) -> None:
    """Whether rulers that look at no meaning prefer of two what is at this place, as somebody saw them."""
    if place is None or len(lengths) != 2:
        return
    ahead = lengths[place] - lengths[1 - place]
    rulers["longest"].add(0.5 if ahead == 0 else ahead > 0)
    rulers["shortest"].add(0.5 if ahead == 0 else ahead < 0)
    rulers["left"].add(order[0] == place)
    rulers["random"].add(0.5)


def _agreement(kind: str, units: Sequence[Sequence[str]]) -> dict[str, Any]:
    level = TASK_KINDS[kind].agreement if kind in TASK_KINDS else "nominal"
    values: Iterator[list[Value]] = ([verdict_value(one, level) for one in unit] for unit in units)
    return {
        "level": level,
        "alpha": alpha_with_interval(values, level)._asdict(),
        "pairs": pairs_agreeing(units)._asdict(),
    }
