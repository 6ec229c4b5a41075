"""`manage.py demo`: the whole loop on this machine, then an address to look at it."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from webapp.demo.progress import TerminalReporter
from webapp.demo.scenario import Demo, DemoError, figures
from webapp.machine.keeper import StackError
from webapp.operations.stack import (
    PORT,
    Stack,
    ended_by_signals,
    only_one,
    prepare_database,
    say,
    serve,
)


class Command(BaseCommand):
    """Start everything, play the loop, and stay up (or stop, with --once)."""

    requires_system_checks: list[str] = []  # but for a port that is taken, which is said first
    help = "Play the whole loop through the real parts, then keep the dashboard up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--once and --port."""
        parser.add_argument(
            "--once", action="store_true", help="stop everything at the end and print JSON"
        )
        parser.add_argument(
            "--port", type=int, default=PORT, help="where the dashboard is to answer"
        )

    def handle(self, *, once: bool, port: int, **_options: Any) -> None:  # noqa: ANN401
        """Play the demo; Ctrl-C ends all it started."""
        try:
            with ended_by_signals(), only_one(Path(settings.VAR)):
                stack = Stack(port)  # first: a port that is taken is said at once
                self.check()
                prepare_database()
                with stack, TerminalReporter() as reporter:
                    result = figures(Demo(stack, reporter).play())
                    if not once:
                        reporter.close()
                        serve(stack, self.stdout)
            self.stdout.write(json.dumps(result))
        except (DemoError, StackError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            say(self.stdout, "Stopped.")
