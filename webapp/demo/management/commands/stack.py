"""`manage.py stack`: the dashboard and its workers on this machine."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from webapp.stack import Stack, StackError, only_one, prepare_database, serve


class Command(BaseCommand):
    """Start broker, web, worker and tend, and stay up."""

    help = "Start the dashboard and its workers; Ctrl-C ends them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--port."""
        parser.add_argument("--port", type=int, default=8000, help="first port to try")

    def handle(self, *, port: int, **_options: Any) -> None:  # noqa: ANN401
        """Serve until Ctrl-C, or until a program ends by itself."""
        try:
            with only_one(Path(settings.VAR)):
                prepare_database()
                with Stack(port) as stack:
                    serve(stack, self.stdout)
        except StackError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
