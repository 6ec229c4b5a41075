"""`manage.py stack`: the dashboard and its workers on this machine."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from webapp.machine.endings import ended_by_signals
from webapp.machine.keeper import StackError
from webapp.operations.stack import (
    PORT,
    Stack,
    only_one,
    prepare_database,
    say,
    serve,
)


class Command(BaseCommand):
    """Start broker, web, worker and tend, and stay up."""

    requires_system_checks: list[str] = []  # but for a port that is taken, which is said first
    help = "Start the dashboard and its workers; Ctrl-C ends them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--port."""
        parser.add_argument(
            "--port", type=int, default=PORT, help="where the dashboard is to answer"
        )

    def handle(self, *, port: int, **_options: Any) -> None:  # noqa: ANN401
        """Serve until Ctrl-C; what ends in between is started again."""
        try:
            with ended_by_signals(), only_one(Path(settings.VAR)):
                stack = Stack(port)  # first: a port that is taken is said at once
                self.check()
                prepare_database()
                with stack:
                    serve(stack, self.stdout)
        except StackError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            say(self.stdout, "Stopped.")
