"""Which labels a snapshot takes in: chosen by people, kept in its manifest, told in words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.models import Completion, Label, LabelQuerySet
from webapp.projects.models import Project, PromptTag
from webapp.quality.models import Adjudication

ALWAYS = ("include_simulated", "include_ranks")  # that every manifest says
FEWEST = 2  # labels of which one may say that they agree


@dataclass(frozen=True)
class SnapshotFilter:
    """What a snapshot takes in; as it is made here, all there is. Days are those of UTC, both ends within."""

    include_simulated: bool = True
    include_imported: bool = True  # labels that a file says somebody gave
    include_ranks: bool = True
    kinds: tuple[str, ...] = ()  # of task; none: all
    people: tuple[int, ...] = ()  # keys of annotators; none: all
    since: date | None = None
    until: date | None = None
    agreement: int = 0  # percent of a task's labels that say the same; 0: any
    tags: tuple[str, ...] = ()  # of prompts, which have one of them; none: all
    counted_only: bool = False

    @property
    def narrows(self) -> bool:
        """Whether it leaves out more than whole origins."""
        return bool(set(self.as_stored(())) - {*ALWAYS, "include_imported"})

    def labels_of(self, project: Project) -> LabelQuerySet:
        """The labels that are taken in, oldest first."""
        labels = Label.objects.current().filter(project=project)
        labels = labels.filter(
            self._about(who="annotator", kind="task__kind", prompt="task__prompt")
        )
        if not self.include_simulated:
            labels = labels.filter(annotator__simulated=False)
        if not self.include_imported:
            labels = labels.filter(imported=False)
        if self.counted_only:
            labels = labels.filter(counted=True)
        return (agreeing(labels, self.agreement) if self.agreement else labels).order_by("pk")

    def decisions(self, made: QuerySet[Adjudication]) -> QuerySet[Adjudication]:
        """The decisions about labels that are taken in: by whom, when and about what they were made."""
        return made.filter(self._about(who="by", kind="task__kind", prompt="task__prompt"))

    def ranked(self, answers: QuerySet[Completion]) -> QuerySet[Completion]:
        """The ranked answers that are taken in: by when they came, and their prompts."""
        return (
            answers.filter(self._about(prompt="prompt")) if self.include_ranks else answers.none()
        )

    def preferences(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The imported preferences that are taken in, likewise."""
        return (
            rows.filter(self._about(prompt="better__prompt")) if self.include_ranks else rows.none()
        )

    def _about(self, *, prompt: str, who: str = "", kind: str = "") -> Q:
        """The rows that fit in their columns of these names; an empty name is of no column."""
        found = Q()
        if self.kinds and kind:
            found &= Q(**{f"{kind}__in": self.kinds})
        if self.people and who:
            found &= Q(**{f"{who}__in": self.people})
        if self.since:
            found &= Q(created_at__gte=datetime.combine(self.since, time.min, UTC))
        if self.until:
            found &= Q(created_at__lte=datetime.combine(self.until, time.max, UTC))
        if self.tags:
            tagged = PromptTag.objects.filter(name__in=self.tags)
            found &= Q(**{f"{prompt}__in": tagged.values("prompt")})
        return found

    def as_stored(self, pseudonyms: Iterable[str]) -> dict[str, Any]:
        """What a manifest says of it: people by their pseudonyms, and nothing of what leaves nothing out."""
        usual = asdict(SnapshotFilter())
        said = {
            name: value
            for name, value in asdict(self).items()
            if name in ALWAYS or value != usual[name]
        }
        if self.people:
            said["people"] = sorted(pseudonyms)
        return {name: _in_json(value) for name, value in said.items()}


def _in_json(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def agreeing(labels: LabelQuerySet, percent: int) -> LabelQuerySet:
    """Of these labels those of tasks on which at least so many agree, among counted ones of the same origin.

    Where fewer than two were given nobody can say that they agree.
    """
    same = Label.objects.current().filter(
        task=OuterRef("task"),
        counted=True,
        imported=OuterRef("imported"),
        annotator__simulated=OuterRef("annotator__simulated"),
    )
    given = same.order_by().values("task").annotate(n=Count("pk")).values("n")
    alike = same.order_by().values("verdict").annotate(n=Count("pk")).order_by("-n").values("n")
    counted = labels.annotate(given=Subquery(given), alike=Subquery(alike[:1]))
    return counted.filter(given__gte=FEWEST, alike__gte=F("given") * percent / 100.0)


def filter_in_words(stored: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a manifest says of a filter that leaves more out than whole origins: names and values."""
    if kinds := stored.get("kinds"):
        titles = (str(TASK_KINDS[one].title) if one in TASK_KINDS else one for one in kinds)
        yield _("Kinds of task"), ", ".join(titles)
    for name, title in (("people", _("Annotators")), ("tags", _("Tags"))):
        if values := stored.get(name):
            yield title, ", ".join(values)
    for name, title in (("since", _("From this day on")), ("until", _("To this day"))):
        if day := stored.get(name):
            yield title, str(day)
    if percent := stored.get("agreement"):
        yield _("Least agreement of a task"), f"{percent} %"
    if stored.get("counted_only"):
        yield _("Labels"), _("Only those that count for their tasks")
