"""Commands that do one thing and end: whatever ends one early is a sentence and a status, and nothing is half done."""

import json
import signal
from contextlib import closing, contextmanager
from importlib import import_module
from itertools import count

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from tests.factories import a_project, some_labels, some_tasks
from webapp.datasets.models import Intake
from webapp.labeling.models import Label, Task
from webapp.machine.commands import INTERRUPTED, OLDER, OneTask
from webapp.projects.models import Project, Prompt

pytestmark = pytest.mark.django_db
LASTING = {"demo", "stack", "tend", "collect_words"}  # they serve, or are for whoever builds Attune
TEXT = [{"prompt": f"Why {n}?", "answer_a": "x", "answer_b": "y"} for n in range(3)]


@pytest.fixture
def place(tmp_path):
    """A project with labels, and a file to import."""
    some_labels(some_tasks(a_project(name="Lab"), 2))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, TEXT)))
    return tmp_path


COMMANDS = {
    "import_feedback": lambda place: ["Lab", str(place / "rows.jsonl"), "--as=tasks"],
    "make_tasks": lambda _place: ["Lab", "demonstrate"],
    "quality": lambda _place: ["Lab"],
    "setup_link": lambda _place: ["--force"],
    "backup": lambda place: [str(place / "attune.tar")],
    "restore": lambda place: [str(place / "none.tar")],
}


def test_every_command_of_ours_that_ends_is_one_of_them():
    ours = {name for name, app in get_commands().items() if app.startswith("webapp.")}
    assert ours == COMMANDS.keys() | LASTING
    for name in COMMANDS:
        found = import_module(f"{get_commands()[name]}.management.commands.{name}")
        assert issubclass(found.Command, OneTask)


@contextmanager
def at_statement(number, act):
    """Do something just before a statement to the database."""
    asked = count(1)

    def look(execute, *args):
        if next(asked) == number:
            act()
        return execute(*args)

    with connection.execute_wrapper(look):
        yield


def stopped(name, place, number):
    """Whether a signal before this statement ended a command, in words; not where it has fewer."""
    which = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[number % 3]
    there, said = {*place.iterdir()}, (0, "")
    try:
        with at_statement(number, lambda: signal.raise_signal(which)):
            call_command(name, *COMMANDS[name](place))
    except CommandError as error:
        said = (error.returncode, str(error))
    if said[0] != INTERRUPTED:
        assert said[0] == 0 or "asked already" in said[1]  # before the signal came
        return False
    assert said[1].startswith("Stopped before it was done")
    assert {*place.iterdir()} == there
    return True


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["import_feedback", "make_tasks", "quality", "setup_link"])
def test_a_signal_anywhere_ends_a_command_of_which_nothing_is_half_done(name, place):
    """Started again and again, and stopped a little later each time, it does what it does at once."""
    before = signal.getsignal(signal.SIGTERM)
    number = 1
    while stopped(name, place, number):
        number += 3
    assert number > 3
    assert signal.getsignal(signal.SIGTERM) == before
    assert not Intake.objects.exclude(settled=True).exists()
    trained_on = Prompt.objects.exclude(split="test").count()  # of others nobody is asked
    asked = {"import_feedback": 5, "make_tasks": 2 + trained_on}.get(name, 2)
    made = (Prompt.objects.count(), Task.objects.count(), Label.objects.count())
    assert made == (5 if name == "import_feedback" else 2, asked, 2)


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_a_signal_leaves_no_part_of_a_backup(name, place):
    assert stopped(name, place, 1)


def unreachable():
    """Ask a database that is not there."""
    away = connection.copy()
    away.settings_dict |= {"NAME": "/nowhere/at/all", "PORT": "1", "HOST": "127.0.0.1"}
    away.ensure_connection()


def unknown():
    """Ask for a table that is not there yet."""
    with closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute("SELECT * FROM nothing_of_this_name")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "restore"])
def test_a_database_that_cannot_be_used_is_told_in_words(name, place):
    with at_statement(1, unreachable), pytest.raises(CommandError, match="cannot be asked"):
        call_command(name, *COMMANDS[name](place))
    newest = MigrationRecorder.Migration.objects.filter(app="labeling").order_by("-name").first()
    MigrationRecorder(connection).record_unapplied("labeling", newest.name)
    with at_statement(1, unknown), pytest.raises(CommandError, match="not of this version"):
        call_command(name, *COMMANDS[name](place))


def test_what_is_wrong_in_our_own_statements_keeps_its_traceback(place):
    with at_statement(1, unknown), pytest.raises(Exception, match="nothing_of_this_name") as raised:
        call_command("quality", "Lab")
    assert OLDER not in str(raised.value)


NONSENSE = [
    ["make_tasks", "Lab", "compare", "--most=-5"],
    ["make_tasks", "Lab", "compare", "--most=0"],
    ["make_tasks", "Lab", "compare", "--most", "9" * 5000],
    ["make_tasks", "Lab", "compare", "--labels-per-task=x"],
    ["make_tasks", "Lab", "nothing"],
    ["make_tasks", "\udcff", "compare"],
    ["quality", "\udcff"],
    ["quality", ""],
    ["quality", "-1"],
    ["import_feedback", "Lab", "{rows}", "--labels-per-task=21"],
    ["import_feedback", "Lab", "{rows}", "--labels-per-task=-1"],
    ["import_feedback", "Lab", "{rows}", "--pairs-per-prompt=-1"],
    ["import_feedback", "Lab", "{rows}", "--bad-rows={rows}"],
    ["import_feedback", "Lab", "{rows}", "--bad-rows={place}"],
    ["import_feedback", "Lab", "{place}/none"],
    ["import_feedback", "Lab", "\udcff"],
    ["import_feedback", "Lab", "x" * 5000],
    ["import_feedback", "\udcff", "{rows}", "--create"],
    ["import_feedback", "", "{rows}", "--create"],
    ["import_feedback", "x" * 5000, "{rows}", "--create"],
    ["import_feedback", "Old", "{rows}"],
    ["make_tasks", "Old", "demonstrate"],
    ["backup", "{place}"],
    ["backup", "{place}/none/attune.tar"],
    ["backup", "{rows}/attune.tar"],
    ["backup", "{place}/" + "x" * 300],
    ["restore", "{place}", "--force"],
    ["restore", "{rows}", "--force"],
    ["restore", "/dev/null", "--force"],
]


@pytest.mark.parametrize("given", NONSENSE, ids=lambda given: " ".join(given)[:60])
def test_nonsense_is_refused_in_words_and_changes_nothing(given, place):
    a_project(name="Old", archived_at="2024-01-31T00:00Z")
    rows = place / "rows.jsonl"
    before = rows.read_bytes()
    with pytest.raises(CommandError) as refused:
        call_command(*(one.format(rows=rows, place=place) for one in given))
    assert len(str(refused.value)) < 600 + 2 * sum(map(len, given))
    assert (rows.read_bytes(), [*place.iterdir()]) == (before, [rows])
    assert (Task.objects.count(), Prompt.objects.count(), Project.objects.count()) == (2, 2, 2)
