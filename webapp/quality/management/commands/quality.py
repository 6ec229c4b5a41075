"""`manage.py quality PROJECT`: measure a project's labels, and print how far people agree."""

import json
from typing import Any

from django.core.management.base import CommandParser

from webapp.machine.commands import OneTask
from webapp.projects.named import project_named
from webapp.quality.jobs import measure_now
from webapp.quality.queries import agreements, null_rulers, people, report_of
from webapp.quality.templatetags.intervals import share_with_interval, with_interval


class Command(OneTask):
    """Read all labels now, without a worker, and keep the figures for the page too."""

    help = "Measure a project's labels: agreement, and how each person answers."

    def add_arguments(self, parser: CommandParser) -> None:
        """The project, and how the figures are printed."""
        parser.add_argument("project", help="name or number of the project")
        parser.add_argument("--json", action="store_true", help="print all figures as JSON")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Measure, then print."""
        project = project_named(options["project"])
        measure_now(project)
        report = report_of(project)
        if report is None or options["json"]:
            self.stdout.write(json.dumps(report.figures if report else {}, indent=2))
            return
        for title, rows in agreements(report):
            self.stdout.write(f"{title}:")
            for row in rows:
                alpha = f", alpha {with_interval(row.alpha)}" if row.level else ""
                self.stdout.write(f"  {row.title}: {share_with_interval(row.pairs)}{alpha}")
        for person in people(report.figures["people"]):
            self.stdout.write(f"{person.name}: {person.figures['labels']} labels")
        for words, figure, _gold in null_rulers(report):
            self.stdout.write(f"{words}: {share_with_interval(figure)}")
