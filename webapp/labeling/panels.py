"""How far people are whom a crowd platform has sent: how many labels they still give, and the code at their end."""

from typing import NamedTuple

from webapp.accounts.models import User
from webapp.accounts.names import NOBODYS
from webapp.labeling.models import Label
from webapp.projects.models import Panel, Project


class Share(NamedTuple):
    """What somebody of a panel gives, and has given."""

    panel: Panel
    given: int

    @property
    def left(self) -> int:
        """How many labels are missing."""
        return max(0, self.panel.quota - self.given)


def is_of_panel(person: User) -> bool:
    """Whether a link of a panel may have signed them in: nobody else has such a name."""
    return NOBODYS in person.username


def share_of(project: Project, person: User) -> Share | None:
    """How far somebody is in their panel of the project; None for who is in none."""
    panel = Panel.objects.filter(members__user=person, members__project=project).first()
    if panel is None:
        return None
    given = Label.objects.current().filter(annotator=person, project=project)
    return Share(panel, given.count())


def room_for(project: Project, person: User, cards: int) -> int:
    """How many of so many cards somebody still answers; all, but for people of a panel."""
    share = share_of(project, person) if is_of_panel(person) else None
    return min(cards, share.left) if share else cards
