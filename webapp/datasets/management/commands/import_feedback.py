"""`manage.py import_feedback PROJECT FILE`: take in prompts, answers, tasks, preferences and labels."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from alignment.rows.formats import FORMATS, GUESS
from alignment.rows.mapping import ROLES, twice
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.forms import MOST_NEED, MOST_PAIRS, usual
from webapp.datasets.imports.jobs import summary, told
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import Lines, Reading, read
from webapp.datasets.intake import FIRST_KIND, PAIRS, Become, Plan
from webapp.labeling.bands import Band
from webapp.labeling.kinds import TASK_KINDS
from webapp.machine.commands import OneTask, number_within
from webapp.projects.models import Project
from webapp.projects.named import create_named, find_project, project_named


class Command(OneTask):
    """Import a file as a whole or, where bad rows may be left out, but for those; twice adds nothing."""

    help = "Import prompts, answers, and what was said of them, into a project."

    def add_arguments(self, parser: CommandParser) -> None:
        """The project, the file, how to read it and what its rows become."""
        parser.add_argument("project", help="name or number of the project")
        parser.add_argument(
            "file",
            type=Path,
            help="JSON lines, a JSON array, CSV, TSV, Parquet, Arrow, a zip of them, or a folder that datasets saved",
        )
        known = [GUESS, *sorted(FORMATS)]
        parser.add_argument("--format", choices=known, default=GUESS, help="what its rows are")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="ROLE=COLUMN",
            help=f"what a column is, as often as needed ({', '.join(ROLES)}); the others are not read",
        )
        parser.add_argument(
            "--as",
            dest="become",
            choices=Become.values,
            help="what the rows become; without it, what they hold most of, but no tasks",
        )
        parser.add_argument(
            "--kind", choices=list(TASK_KINDS), default=FIRST_KIND, help="of task, with --as tasks"
        )
        parser.add_argument(
            "--labels-per-task", type=number_within(1, MOST_NEED), default=1, help="default: 1"
        )
        pairs = number_within(0, MOST_PAIRS)
        parser.add_argument(
            "--pairs-per-prompt",
            type=pairs,
            default=PAIRS,
            help=f"at most; default {PAIRS}, 0: all",
        )
        parser.add_argument("--band", choices=Band.values, default=Band.NORMAL.value)
        parser.add_argument("--leave-bad-rows-out", action="store_true", help="import the others")
        parser.add_argument("--bad-rows", type=Path, help="a file for the list of all bad rows")
        parser.add_argument("--dry-run", action="store_true", help="say what would come of it")
        parser.add_argument("--create", action="store_true", help="make the project if it is new")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Read all, say what is in it, then write all."""
        file: Path = options["file"]
        try:
            reading = self._read(file, options)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror or error}") from error
        except ImportRefusal as refusal:
            raise CommandError(f"{file.name}: {refusal}") from refusal
        try:
            self._take_in(reading, options)
        except ImportRefusal as refusal:
            raise CommandError(f"{file.name}: {refusal}") from refusal

    def _read(self, file: Path, options: dict[str, Any]) -> Reading:
        with self._bad_rows(options) as bad:
            reading = _whole(file, options["format"], bad, _roles(options["map"]))
        found = summary(reading)
        kinds = ", ".join(f"{number} of “{title}”" for title, number in found["formats"])
        self._say(f"{file.name} is {found['what']}; rows: {kinds or 'none that can be read'}.")
        self._list("Columns that are not used (and in how many rows)", told(reading.unused))
        self._list("Left out", found["left_out"])
        self._list("How it was understood", found["notes"])
        if reading.refused and not options["leave_bad_rows_out"]:
            raise ImportRefusal(_reasons(reading))
        if reading.refused:
            self._say(f"Bad rows left out: {reading.refused}.")
        return reading

    @contextmanager
    def _bad_rows(self, options: dict[str, Any]) -> Iterator[Lines | None]:
        """Where the list of bad rows goes: a file, or the errors where they are left out."""
        if path := options["bad_rows"]:
            if path.exists() and path.samefile(options["file"]):
                raise CommandError(f"The list {path} would be written over what is imported.")
            try:
                file = path.open("w", encoding="utf-8")
            except OSError as error:
                raise CommandError(
                    f"The list {path} cannot be written: {error.strerror}"
                ) from error
            with file:
                yield file
        else:
            yield self.stderr if options["leave_bad_rows_out"] else None

    def _take_in(self, reading: Reading, options: dict[str, Any]) -> None:
        if not reading.rows:
            raise ImportRefusal("No row of it can be read, so nothing was imported.")
        plan, dry = _plan(reading, options), options["dry_run"]
        project, made = _project(options["project"], create=options["create"])
        try:
            added = take_in(project, reading, plan, keep=not dry)
        except BaseException:
            dry = True  # the file was not taken in: no project is left of it
            raise
        finally:
            if made and dry:
                project.delete()
        verb = "would be added" if options["dry_run"] else "added"
        self._list("Not taken in", told(added.left_out))
        self._say(
            f"{project}: {added.prompts} prompts and {added.completions} answers {verb}, "
            f"{added.tasks} tasks, {added.preferences} preferences, {added.labels} labels "
            f"({reading.rows} rows read, {len(reading.prompts)} prompts in them)."
        )

    def _list(self, title: str, counted: Iterable[tuple[str, int]]) -> None:
        if lines := [f"  {number} {name}" for name, number in counted]:
            self._say("\n".join([f"{title}:", *lines]))

    def _say(self, text: str) -> None:
        self.stdout.write(text)


def _roles(given: list[str]) -> dict[str, str]:
    """What each column is said to be; raises CommandError for a role that is none, or that one has."""
    pairs = [one.partition("=")[::2] for one in given]
    if unknown := next((role for role, column in pairs if role not in ROLES or not column), None):
        raise CommandError(
            f"--map {unknown}=…: give one of {', '.join(ROLES)}, then = and a column."
        )
    roles = {column: role for role, column in pairs}
    if (again := twice(roles)) or len(roles) < len(pairs):
        raise CommandError(f"--map: {again or 'one column'} is given twice.")
    return roles


def _whole(file: Path, format: str, bad: Lines | None, roles: dict[str, str]) -> Reading:
    steps = read(file, format, limit=settings.IMPORT_LIMIT, refusals=bad, roles=roles)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            reading: Reading = end.value
            return reading


def _plan(reading: Reading, options: dict[str, Any]) -> Plan:
    """What was asked for, or what the file holds most of; tasks are made only when asked for."""
    found = {"answers": reading.answers, "compared": 0, "judged": reading.judgements()}
    become = Become(options["become"] or usual(found))
    need, pairs = options["labels_per_task"], options["pairs_per_prompt"]
    return Plan(become, need, pairs, options["kind"], options["band"])


def _reasons(reading: Reading) -> str:
    shown = "; ".join(reading.refusals)
    more = reading.refused - len(reading.refusals)
    also = f"; and {more} more" if more else ""
    return (
        f"Nothing was imported. Mend these rows, or leave them out with --leave-bad-rows-out: "
        f"{shown}{also}."
    )


def _project(name: str, *, create: bool) -> tuple[Project, bool]:
    """The project of this name or number, and whether it was made just now."""
    if find_project(name) is not None:
        return project_named(name, writes=True), False
    if not create:
        raise CommandError(f"There is no project {name!r}; --create makes one of that name.")
    return create_named(name), True
