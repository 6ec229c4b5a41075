"""`manage.py restore FILE`: put a backup back, once every byte of it is known to be right."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from webapp.machine.commands import OneTask
from webapp.machine.keeper import StackError
from webapp.operations.backups import BackupError, restore
from webapp.operations.database_copies import CopyError
from webapp.operations.stack import only_one


class Command(OneTask):
    """Restore; Attune must not run meanwhile."""

    requires_system_checks: list[str] = []
    help = "Put a backup in place of what is here. Stop Attune first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and whether existing data may go."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace the data that is here")

    def handle(self, *, file: Path, force: bool, **_: Any) -> None:  # noqa: ANN401
        """Say what was restored."""
        try:
            with only_one(Path(settings.VAR)):
                facts = restore(file, force=force)
        except (BackupError, CopyError, StackError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Restored the backup of {facts.made_at}: {facts.labels} labels, "
            f"{facts.artifacts} artifacts. `make run` brings the database to this version."
        )
