"""`manage.py demo`: an address to look at, and the whole loop on this machine."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, OutputWrapper

from webapp.demo.brought import script_of
from webapp.demo.lab import lab_figures
from webapp.demo.progress import TerminalReporter
from webapp.demo.scenario import Demo, DemoError, Script, figures
from webapp.machine.endings import ended_by_signals
from webapp.machine.keeper import StackError
from webapp.operations.stack import (
    PORT,
    Stack,
    announce,
    only_one,
    prepare_database,
    say,
    stay,
)

WATCH = "Watch its steps, and label beside the simulated people:  {page}"


class Command(BaseCommand):
    """Start everything, play the loop, and stay up (or stop, with --once)."""

    requires_system_checks: list[str] = []  # but for a port that is taken, which is said first
    help = "Play the whole loop through the real parts, then keep the dashboard up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--model, --once, --lab and --port."""
        parser.add_argument(
            "--model",
            default="",
            help="a causal model to play with: its folder, or its name on the Hub",
        )
        parser.add_argument(
            "--once", action="store_true", help="stop everything at the end and print JSON"
        )
        parser.add_argument(
            "--lab", action="store_true", help="also make smaller models of the aligned one"
        )
        parser.add_argument(
            "--port", type=int, default=PORT, help="where the dashboard is to answer"
        )

    def handle(self, *, model: str, once: bool, lab: bool, port: int, **_options: Any) -> None:  # noqa: ANN401
        """Play the demo; Ctrl-C ends all it started."""
        try:
            script = script_of(model) if model else None
            with ended_by_signals(), only_one(Path(settings.VAR)):
                stack = Stack(port)  # first: a port that is taken is said at once
                self.check()
                prepare_database()
                with stack:
                    result = self._play(stack, script, once=once, lab=lab)
            self.stdout.write(json.dumps(result))
        except (DemoError, StackError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            say(self.stdout, "Stopped.")

    def _play(
        self, stack: Stack, script: Script | None = None, *, once: bool, lab: bool = False
    ) -> dict[str, object]:
        """Say the address, play, and stay to be looked at unless it is to be once; the figures."""
        out = OutputWrapper(sys.stderr) if once else self.stdout  # what once prints is one object
        announce(stack, out)
        with TerminalReporter() as reporter:
            demo = Demo(stack, reporter, script)
            project = demo.project()
            reporter.say(WATCH.format(page=demo.page("project", project.pk)))
            try:
                round_ = demo.play(project)
                small = demo.lab(round_) if lab else ""
            except DemoError as error:
                if once:
                    raise
                reporter.close()
                say(out, f"\n{error}\n\nThe dashboard stays until Ctrl-C.")
                stay(stack)
            for line in demo.found(round_):
                reporter.say(line)
            if lab:
                reporter.say(f"Its smaller models, compared:  {small}")
        if not once:
            say(out, f"Attune stays on {stack.url} until Ctrl-C.")
            stay(stack)
        return figures(round_) | ({"lab": lab_figures(round_)} if lab else {})
