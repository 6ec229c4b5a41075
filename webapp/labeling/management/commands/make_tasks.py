"""`manage.py make_tasks PROJECT KIND`: ask people about prompts and answers that a project has."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from webapp.labeling.bands import Band
from webapp.labeling.making import TasksWanted, kinds_to_make, make_tasks, nothing_made
from webapp.labeling.models import Completion
from webapp.machine.commands import OneTask, number_within
from webapp.projects.models import Split
from webapp.projects.named import project_named


class Command(OneTask):
    """Make tasks of one kind; what is asked already is not asked again."""

    help = "Make tasks of one kind from the prompts and answers of a project."

    def add_arguments(self, parser: CommandParser) -> None:
        """The project, the kind, and of what."""
        parser.add_argument("project", help="name or number of the project")
        parser.add_argument("kind", choices=sorted(kinds_to_make()), help="what is asked")
        parser.add_argument("--labels-per-task", type=int, default=1, choices=range(1, 10))
        number = number_within(1, 10_000_000)
        parser.add_argument("--most", type=number, default=1_000_000, help="tasks at most")
        sources, splits = Completion.Source.values, [Split.TRAIN.value, Split.VALIDATION.value]
        parser.add_argument("--answers", choices=sources, default="", help="all unless given")
        parser.add_argument("--prompts", choices=splits, default="", help="all unless given")
        parser.add_argument("--band", choices=Band.values, default=Band.NORMAL.value)

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Make them, and say how many."""
        project = project_named(options["project"], writes=True)
        wish = TasksWanted(
            kind=options["kind"],
            most=options["most"],
            need=options["labels_per_task"],
            source=options["answers"],
            split=options["prompts"],
            band=options["band"],
        )
        made = make_tasks(project, wish)
        if not made.new:
            raise CommandError(nothing_made(made))
        self.stdout.write(f"{made.new} tasks made, {made.known} were there.")
