"""What the labels of chosen tasks say, beside those of tasks that chance chose."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Avg, Count

from webapp.labeling.models import YES, Label
from webapp.projects.models import Project
from webapp.quality.agreement import Estimated, pairs_agreeing, share
from webapp.quality.allocation import CHOSEN_BY
from webapp.quality.models import ChosenTask
from webapp.quality.queries import ORIGINS, Stored
from webapp.quality.readings import Origin
from webapp.site.words import Words

PREFERRED = {"0>1": 1.0, "1>0": 0.0}  # verdicts of a comparison that prefer an answer


class ChoiceOutcome(NamedTuple):
    """The tasks that one method chose, and what labels of one origin said of them; accuracy is of the scores' model."""

    chosen_by: Words
    origin: Words
    tasks: int
    labels: int
    agreement: Stored
    accuracy: Stored
    entropy: float
    information: float


@dataclass
class ChoiceTally:
    """Labels of one origin about tasks that one method chose."""

    verdicts: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))  # by task
    right: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def count(self, task: int, verdict: str, chance: float) -> None:
        """Count a label; one that prefers nothing tells nothing of the model's accuracy."""
        self.verdicts[task].append(verdict)
        if (first := PREFERRED.get(verdict)) is not None:
            self.right[task].append(hit(chance, first))

    @property
    def labels(self) -> int:
        """How many there are."""
        return sum(map(len, self.verdicts.values()))

    def agreement(self) -> Estimated:
        """Of pairs of labels of a task the share that mean the same."""
        return pairs_agreeing(self.verdicts.values())

    def accuracy(self) -> Estimated:
        """How often the model preferred what people prefer, over tasks."""
        each = [sum(row) / len(row) for row in self.right.values()]
        return share(sum(each), len(each))


def hit(chance: float, first: float) -> float:
    """Whether a model is right that gives the first answer this chance: 1, 0, or a half where it cannot tell."""
    return 0.5 if chance == 0.5 else float((chance > 0.5) == bool(first))


def allocation_outcomes(project: Project) -> list[ChoiceOutcome]:
    """By what chose the tasks, and by who answered them; methods whose tasks nobody has answered too."""
    chosen = ChosenTask.objects.filter(allocation__project=project).order_by()
    told = chosen.values("chosen_by").annotate(
        tasks=Count("pk"), unsure=Avg("entropy"), expected=Avg("information")
    )
    about = {row["chosen_by"]: row for row in told}
    tallies = _tallies(project)
    return [
        _outcome(about[method], words, origin, tallies.get((method, origin), ChoiceTally()))
        for method, words in CHOSEN_BY.items()
        if method in about
        for origin in _origins(method, list(tallies))
    ]


def _origins(method: str, known: Sequence[tuple[str, Origin]]) -> list[Origin]:
    """Who answered what a method chose; people, where nobody has."""
    return [one for one in Origin if (method, one) in known] or [Origin.PEOPLE]


def _outcome(
    row: Mapping[str, Any], words: Words, origin: Origin, tally: ChoiceTally
) -> ChoiceOutcome:
    return ChoiceOutcome(
        words, ORIGINS[origin], row["tasks"], tally.labels, tally.agreement()._asdict(), tally.accuracy()._asdict(),
        row["unsure"], row["expected"],
    )  # fmt: skip


def _tallies(project: Project) -> dict[tuple[str, Origin], ChoiceTally]:
    """All labels of chosen tasks that count, by method and origin."""
    labels = Label.objects.current().filter(
        task__chosen__allocation__project=project, counted__in=YES
    )
    columns = ("task__chosen__chosen_by", "annotator__simulated", "task", "verdict")
    found: dict[tuple[str, Origin], ChoiceTally] = defaultdict(ChoiceTally)
    for method, simulated, task, verdict, chance in labels.values_list(
        *columns, "task__chosen__chance"
    ).iterator():
        origin = Origin.SIMULATED if simulated else Origin.PEOPLE
        found[method, origin].count(task, verdict, chance)
    return dict(found)
