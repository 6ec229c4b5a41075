"""`manage.py import_feedback PROJECT FILE --format oasst|prompts`: take in prompts and ranked answers."""

import gzip
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Q

from webapp.datasets.errors import ImportRefusal
from webapp.datasets.importers import FORMATS, lines_of, parse
from webapp.datasets.services import import_prompts
from webapp.projects.models import Project


class Command(BaseCommand):
    """Import a file as a whole or not at all; a second time it adds nothing."""

    help = "Import prompts, or prompts with ranked answers, into a project."

    def add_arguments(self, parser: CommandParser) -> None:
        """The project, the file and how to read it."""
        parser.add_argument("project", help="name or number of the project")
        parser.add_argument(
            "file", type=Path, help="a JSONL file, gzip-compressed if it ends in .gz"
        )
        parser.add_argument("--format", choices=sorted(FORMATS), required=True)
        parser.add_argument("--create", action="store_true", help="make the project if it is new")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Read all, then write all."""
        try:
            with _opened(options["file"]) as file:
                rows = parse(lines_of(file), options["format"])
        except (OSError, EOFError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}") from error
        except ImportRefusal as refusal:
            raise CommandError(f"{options['file'].name}: {refusal}") from refusal
        with transaction.atomic():
            project = _project(options["project"], create=options["create"])
            added = import_prompts(project, rows)
        self.stdout.write(
            f"{project}: {added.prompts} prompts and {added.completions} answers added "
            f"({len(rows)} rows read)."
        )


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _project(name: str, *, create: bool) -> Project:
    number = int(name) if name.isdecimal() else None
    if found := Project.objects.filter(Q(name=name) | Q(pk=number)).first():
        return found
    if not create:
        raise CommandError(f"There is no project {name!r}; --create makes one of that name.")
    return Project.objects.create(name=name)
