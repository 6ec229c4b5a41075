"""The project that a command names."""

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Q

from webapp.projects.models import Project
from webapp.site.htmx import is_key


def project_named(name: str, *, writes: bool = False) -> Project:
    """The project of this name or number; raises CommandError where there is none, or nothing may change in it."""
    if (project := find_project(name)) is None:
        raise CommandError(f"There is no project {name!r}.")
    if writes and project.archived_at is not None:
        raise CommandError(f"{name!r} is archived: nothing in it changes until it is brought back.")
    return project


def find_project(name: str) -> Project | None:
    """The project of this name or number, if there is one; a name wins over a number."""
    if not _is_text(name):
        return None
    number = int(name) if is_key(name) else None
    found = Project.objects.filter(Q(name=name) | Q(pk=number))
    return min(found, key=lambda one: one.name != name, default=None)


def create_named(name: str) -> Project:
    """A new project of this name; raises CommandError where that is none."""
    try:
        if not _is_text(name):
            raise ValidationError("It is no text.")
        Project._meta.get_field("name").clean(name, None)
    except ValidationError as error:
        said = " ".join(error.messages)
        raise CommandError(f"A project cannot be called {name[:80]!r}. {said}") from error
    return Project.objects.create(name=name)


def _is_text(name: str) -> bool:
    """Whether it can be stored: what a terminal sends may be no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
