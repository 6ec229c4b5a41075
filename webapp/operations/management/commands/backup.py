"""`manage.py backup FILE`: the database and all artifacts in one file, while people work."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.template.defaultfilters import pluralize

from webapp.machine.commands import OneTask
from webapp.operations.backups import BackupError, back_up
from webapp.operations.database_copies import CopyError


class Command(OneTask):
    """Back up; nothing needs to be stopped."""

    help = "Write the database and all artifacts into one file. Nothing needs to be stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and whether the secret key goes in."""
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--with-secret",
            action="store_true",
            help="also the secret key: sessions and pseudonyms stay the same on another machine",
        )

    def handle(self, *, file: Path, with_secret: bool, **_: Any) -> None:  # noqa: ANN401
        """Say what was saved."""
        try:
            saved = back_up(file.absolute(), with_secret=with_secret)
        except (BackupError, CopyError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{file}: {saved.labels} label{pluralize(saved.labels)}, {saved.artifacts} "
            f"artifact{pluralize(saved.artifacts)}, {saved.bytes / 1e6:.1f} MB."
        )
