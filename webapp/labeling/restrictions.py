"""What of a project's tasks somebody is handed out: of the kinds that it offers, in the languages that they read."""

from typing import NamedTuple

from django.db.models import Q

from webapp.accounts.models import User
from webapp.labeling.composition import composition_of
from webapp.labeling.kinds import TASK_KINDS
from webapp.projects.models import Project


class Restriction(NamedTuple):
    """Kinds and languages; none named: all."""

    kinds: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def matches(self, task: str = "") -> Q:
        """The condition, of rows from which this path leads to their task; whose language nobody knows is let through."""
        found = Q(**{f"{task}kind__in": self.kinds}) if self.kinds else Q()
        if self.languages:
            known = Q(**{f"{task}language__in": ("", *self.languages)})
            found &= known | Q(**{f"{task}language__isnull": True})
        return found


def restriction_for(project: Project, annotator: User) -> Restriction:
    """What this person is handed out of this project."""
    return Restriction(kinds_handed_out(project), tuple(sorted(annotator.reads)))


def kinds_handed_out(project: Project) -> tuple[str, ...]:
    """The kinds that the project offers, and those of which tasks come by themselves; none where these are all."""
    if not project.composition:
        return ()
    offers = composition_of(project).offers
    kinds = tuple(name for name, kind in TASK_KINDS.items() if not kind.made or offers(name))
    return () if len(kinds) == len(TASK_KINDS) else kinds
