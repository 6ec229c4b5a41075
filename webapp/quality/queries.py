"""What was measured, as pages and commands show it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import User
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.models import Label
from webapp.projects.models import Project
from webapp.quality.models import QualityReport
from webapp.quality.readings import Origin
from webapp.site.pages import count_up_to
from webapp.site.words import Words

Stored = Mapping[str, Any]
ORIGINS: dict[str, Words] = {
    Origin.PEOPLE: _("People"),
    Origin.SIMULATED: _("Simulated annotators"),
    Origin.IMPORTED: _("Imported labels"),
}
LEVELS: dict[str, Words] = {
    "nominal": _("same or not"),
    "ordinal": _("by order"),
    "interval": _("by distance"),
    "ranking": _("by pairs of a ranking"),
}
RULERS: dict[str, Words] = {
    "longest": _("Always the longer answer"),
    "shortest": _("Always the shorter answer"),
    "left": _("Always the answer shown first"),
    "random": _("A coin"),
}


class Agreement(NamedTuple):
    """How far labels of one origin agree: all together, or those of one kind of task."""

    title: Words
    level: Words  # nothing: all kinds together, which have no alpha in common
    alpha: Stored
    pairs: Stored


class Person(NamedTuple):
    """How one person answers."""

    name: str
    origin: Words  # nothing for people
    figures: Stored


def report_of(project: Project) -> QualityReport | None:
    """What was measured last."""
    return QualityReport.objects.filter(project=project).first()


def labels_since(report: QualityReport) -> int:
    """How many labels have come since, up to a limit."""
    return count_up_to(Label.objects.filter(project=report.project_id, pk__gt=report.newest))


def agreements(report: QualityReport) -> list[tuple[Words, list[Agreement]]]:
    """By origin: all kinds together, then each."""
    found = report.figures["origins"]
    return [(ORIGINS[origin], _rows(found[origin])) for origin in Origin if origin in found]


def _rows(found: Stored) -> list[Agreement]:
    each = [
        Agreement(_title(kind), LEVELS[one["level"]], one["alpha"], one["pairs"])
        for kind, one in found["kinds"].items()
    ]
    return each if len(each) == 1 else [Agreement(_("All kinds"), "", {}, found["pairs"]), *each]


def _title(kind: str) -> Words:
    return TASK_KINDS[kind].title if kind in TASK_KINDS else kind


def people(rows: Iterable[Stored]) -> list[Person]:
    """Who these rows of a report are about."""
    found = list(rows)
    users = User.objects.in_bulk([row["annotator"] for row in found])
    return [
        Person(
            users[row["annotator"]].shown_name,
            "" if row["origin"] == Origin.PEOPLE else ORIGINS[row["origin"]],
            row,
        )
        for row in found
        if row["annotator"] in users
    ]


def null_rulers(report: QualityReport) -> list[tuple[Words, Stored, Stored]]:
    """How often each ruler that looks at no meaning would have chosen as people did, and be right in checks.

    None without choices.
    """
    found, gold = report.figures["rulers"], report.figures["gold_rulers"]
    named = RULERS.items()
    return [(words, found[name], gold[name]) for name, words in named if found[name]["labels"]]
