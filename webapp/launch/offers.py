"""What the pages offer to start: a card per kind of run, and what an artifact may be given to."""

from typing import NamedTuple

from alignment.kinds import KINDS
from alignment.kinds.kind import ASIDE, Group, Kind
from alignment.seam.architectures import family_in
from webapp.artifacts.models import Artifact
from webapp.launch.needs import Missing, Need, needs_of, stock_of
from webapp.projects.models import Project
from webapp.runs.forecasts import Ground


def offered() -> dict[str, Kind]:
    """The kinds that a person may start alone."""
    return {name: kind for name, kind in KINDS.items() if kind.group}


class Offer(NamedTuple):
    """One kind of run on the page that offers them."""

    kind: Kind
    needs: list[Need]

    @property
    def missing(self) -> Missing | None:
        """The first thing that stands in the way."""
        return next((need.missing for need in self.needs if need.missing), None)


def offers(project: Project) -> list[tuple[str, list[Offer]]]:
    """Every kind of run under the heading of its group."""
    kinds = offered().values()
    stock = stock_of(Ground(project), kinds)
    made = [Offer(kind, needs_of(kind, project, stock)) for kind in kinds]
    return [(group.value, [one for one in made if one.kind.group == group]) for group in Group]


class Use(NamedTuple):
    """A run that an artifact may be given to."""

    title: str
    query: str  # of the start page


def uses_of(artifact: Artifact) -> list[Use]:
    """What can be started from an artifact: it takes the first role of its type that is needed."""
    found, family = [], family_in(artifact.path)
    for name, kind in offered().items():
        config = kind.settings()
        needed = (kind.input_named(role) for role in kind.roles(config))
        fitting = [one.role for one in needed if artifact.type in one.types]
        if fitting and (fitting[0] in ASIDE or not kind.refusal(config, family)):
            found.append(Use(kind.title, f"?kind={name}&{fitting[0]}={artifact.pk}"))
    return found
