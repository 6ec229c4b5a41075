"""What every test stands on: state of its own, and real programs where a test needs them."""

import fcntl
import gc
import logging
import os
import re
import shutil
import sys
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from zlib import crc32

import pytest
from _pytest import logging as pytest_logging
from django.conf import settings as django_settings
from django.db import transaction
from django.test import TransactionTestCase, override_settings
from hypothesis import settings as hypothesis_settings

from alignment.__main__ import program
from alignment.foreign import forks
from alignment.kinds import KINDS
from tests import databases, disks, factories, postgres
from tests.factories import a_project, a_user
from tests.programs import Loaded
from tests.rows import delete_rows
from tests.stack import Stack
from tests.stand_in import forked as stand_in_trainer
from tests.trainers import answering
from webapp.celery import app as celery_app
from webapp.runs.errors import RunError
from webapp.runs.models import FINAL, Intent, Run
from webapp.runs.services import cancel_run
from webapp.variables import SQLITE_ENGINE

# How long an example takes says how busy the machine is: pytest's own limit is enough.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")

# Tests start runs of kilobytes, on whatever is left of a disk.
os.environ["ATTUNE_DISK_RESERVE_GIB"] = "0"
django_settings.DISK_RESERVE_GIB = 0.0

# A spare trainer would load torch for tests that end before anything else is to be computed.
os.environ["ATTUNE_SPARE"] = "0"
django_settings.SPARE = False

# What a test leaves need not outlast a power cut, as PostgreSQL is told in tests/postgres.py.
os.fsync = lambda handle: None

# No page waits here while foreign files are looked at: tests wait for that.
forks.NICENESS = 0

# Short times, and what takes less of it, for all tests alike.
django_settings.RUN_POLL, django_settings.RUN_RENEW, django_settings.RUN_STOP_GRACE = 0.05, 0.2, 3
django_settings.RUN_THREADS = 1
django_settings.PASSWORD_HASHERS = ["tests.hashers.QuickHasher"]
django_settings.WHITENOISE_AUTOREFRESH = True  # else every client reads every static file

TransactionTestCase._fixture_teardown = delete_rows

ON_SQLITE = django_settings.DATABASES["default"]["ENGINE"] == SQLITE_ENGINE
numbers = count()  # of tests
STAND_IN = Path(__file__).parent / "stand_in.py"
ASKING = Path(__file__).with_name("forked_trainer.py")
OF_MARKS = {  # fixtures of pytest-django, which look for a mark and do nothing without it
    "_django_db_marker": "django_db",
    "_django_isolate_apps": "django_isolate_apps",
    "_django_set_urlconf": "urls",
    "_template_string_if_invalid_marker": "ignore_template_errors",
}
ONCE = re.compile(r"^pytestmark = (?:\[[^]]*)?pytest\.mark\.once\b", re.MULTILINE)
ROWS = {"db", "transactional_db", "live_server"}  # fixtures of a test that touches rows
not_run: dict[str, int] = {}  # tests skipped, by reason
not_there: dict[str, int] = {}  # tests of data that is not part of the repository, by reason
SHARED = Path(__file__).parents[2] / "shared" / "data"


def pytest_ignore_collect(collection_path, config):
    """A file of which nothing would be run is not imported, nor torch with it: that takes as long as many tests."""
    if collection_path.suffix != ".py" or "not once" not in config.option.markexpr:
        return None
    text = collection_path.read_text()
    return True if ONCE.search(text) and "mark.twice" not in text else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what touches rows, so that `-m db` runs it on another database, and what needs foreign data."""
    for item in items:
        if ROWS & set(item.fixturenames) or item.get_closest_marker("django_db"):
            item.add_marker(pytest.mark.db)
        if "shared_data" in item.fixturenames:
            item.add_marker(pytest.mark.foreign)
        item.fixturenames = [name for name in item.fixturenames if is_of_use(name, item)]


def is_of_use(name, item):
    """Whether this fixture does anything for a test: of what pytest-django gives to all of them, little does for one."""
    if name in OF_MARKS:
        return item.get_closest_marker(OF_MARKS[name]) is not None
    if name == "monkeypatch":  # others that need it ask for it
        return name in item._fixtureinfo.argnames
    if name == "_live_server_helper":
        return "live_server" in item.fixturenames
    if name == "_django_setup_unittest":
        return item.cls is not None
    return name != "_django_clear_site_cache"  # django.contrib.sites is not installed


def pytest_collection():
    """What is imported stays: looking through it for garbage is a third of the time."""
    gc.disable()


def pytest_collection_finish():
    """From here on garbage is looked for among what tests make, and not each time they make little."""
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)
    gc.enable()


class Listening(pytest_logging.catching_logs):
    """What pytest opens six times in a test: it asks every logger each time, and libraries make a thousand of them."""

    apart: list[logging.Logger] = []  # those that tell the root nothing

    def __enter__(self):
        if self.level is not None:
            return super().__enter__()
        for logger in (logging.root, *self.apart):
            logger.addHandler(self.handler)
            self.attached_loggers.append(logger)
        return self.handler


pytest_logging.catching_logs = Listening


def pytest_runtest_logstart():
    """Ask them once."""
    loggers = logging.root.manager.loggerDict.values()
    Listening.apart = [
        one for one in loggers if isinstance(one, logging.Logger) and not one.propagate
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """What a test makes, and so the splits of its prompts, does not hang on the tests that ran before it."""
    factories.NUMBER = count(1000 * (1 + crc32(item.nodeid.encode()) % 1_000_000))


def pytest_runtest_logreport(report):
    """Count the tests that this machine cannot run, and apart those whose data is not here."""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        counted = not_there if "foreign" in report.keywords else not_run
        counted[reason] = counted.get(reason, 0) + 1


def pytest_sessionfinish(session):
    """With REQUIRE=all a part that could not be run is a failure."""
    if not_run and os.environ.get("REQUIRE") == "all" and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """One line that says what could not be run here."""
    engine = "SQLite" if ON_SQLITE else "PostgreSQL"
    parts = counted(not_run)
    if engine == "SQLite" and postgres.binaries() is None:
        parts.append(f"PostgreSQL: {postgres.NOT_INSTALLED}")
    foreign = (
        f" Foreign data that is not here: {'; '.join(counted(not_there))}." if not_there else ""
    )
    terminalreporter.write_line(f"On {engine}. Not run: {'; '.join(parts) or 'nothing'}.{foreign}")


def counted(reasons):
    """Reasons with how many tests each has kept from running."""
    return [f"{reason} ({number})" for reason, number in reasons.items()]


@pytest.fixture(scope="session")
def migrated(request, tmp_path_factory, django_db_blocker):
    """An empty database with all tables, which one of the processes of tests makes for all to copy.

    A file of SQLite; on a server there is one of the file's name, and the file is empty.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    cache = getattr(request.config, "cache", None)  # none with `-p no:cacheprovider`
    place, kept = (
        folder / "attune_migrated.sqlite3",
        cache.mkdir("migrated") if cache else tmp_path_factory.mktemp("kept"),
    )
    with (folder / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with django_db_blocker.unblock():
                if ON_SQLITE:
                    databases.migrate(place, kept)
                else:
                    databases.migrate_on_server(place.stem, kept)
                    place.touch()
    return place


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix, tmp_path_factory, migrated
):
    """A test database that other processes can open too."""
    test = django_settings.DATABASES["default"]["TEST"]
    if not ON_SQLITE:
        test["TEMPLATE"] = migrated.stem
        return
    place = tmp_path_factory.mktemp("database") / "test.sqlite3"
    shutil.copy(migrated, place)
    test["NAME"] = str(place)


@pytest.fixture(scope="session")
def django_db_keepdb():
    """Whether the test database is there already."""
    return ON_SQLITE


@pytest.fixture(scope="session")
def broker_socket(tmp_path_factory):
    """Where this process rings; a broker listens there while a stack test runs one."""
    socket = tmp_path_factory.mktemp("broker") / "broker.sock"
    celery_app.conf.broker_url = f"redis+socket://{socket}?virtual_host=0"
    return socket


@pytest.fixture(scope="session")
def vars_folder(tmp_path_factory):
    """Where each test has its VAR: pytest's own numbering looks through thousands of folders for the next one."""
    return tmp_path_factory.mktemp("vars")


@pytest.fixture(autouse=True)
def var(vars_folder, broker_socket):
    """State of this test's own, and a broker that is not there."""
    folder = vars_folder / str(next(numbers))
    folder.mkdir()
    before = django_settings.VAR, django_settings.STORE
    # Set by themselves: `override_settings` tells all that listen, twice a test, and nobody listens for these.
    django_settings.VAR, django_settings.STORE = folder, folder / "store"
    yield folder
    django_settings.VAR, django_settings.STORE = before


@pytest.fixture(scope="module")
def kept(django_db_setup, django_db_blocker, tmp_path_factory):
    """Where rows are made once for a module whose tests take back what they do: a VAR, until its end.

    They are never committed: each test has a savepoint after them, so none may commit for itself. One that
    reads folders of these rows works on this VAR, by `on_kept`.
    """
    folder = tmp_path_factory.mktemp("kept")
    with django_db_blocker.unblock(), transaction.atomic():
        with override_settings(VAR=folder, STORE=folder / "store"):
            yield folder
        transaction.set_rollback(True)


@pytest.fixture
def on_kept(db, var, kept):
    """The VAR of the module's rows, for one test."""
    with override_settings(VAR=kept, STORE=kept / "store"):
        yield kept


@pytest.fixture
def shared_data():
    """A file of foreign data by its name: it lies beside the repository, or the test is left out."""

    def path(name):
        if not (SHARED / name).is_file():
            pytest.skip(name)
        return SHARED / name

    return path


@pytest.fixture
def project(db):
    return a_project()


@pytest.fixture
def researcher(project):
    return a_user(project, username="rita")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Where they are forked that need not load what reads a run's folder again."""
    with answering(tmp_path_factory.mktemp("stand_ins") / "socket", stand_in_trainer) as place:
        yield place


@pytest.fixture
def stand_in(settings, stand_ins):
    """A trainer of a few lines instead of the real one; `run.config` says nothing to it."""
    settings.TRAINER_COMMAND = [sys.executable, "-I", "-S", str(ASKING), str(stand_ins)]
    return settings


@pytest.fixture(scope="session")
def loaded():
    """What programs are forked from in this process of tests."""
    loaded = Loaded()
    yield loaded
    loaded.end()


@pytest.fixture
def stack(transactional_db, var, broker_socket, loaded):
    """Real programs on this test's database and VAR; a test starts those it needs."""
    with Stack(var, broker_socket) as programs:
        programs.loaded = loaded
        yield programs


@pytest.fixture(scope="module")
def trainers(tmp_path_factory):
    """Where trainers are forked that need not load torch again."""
    for place in (kind.run for kind in KINDS.values()):
        import_module(place.partition(":")[0])
    with answering(tmp_path_factory.mktemp("trainers") / "socket", program) as place:
        yield place


@pytest.fixture(scope="module")
def programs(django_db_setup, broker_socket, tmp_path_factory, loaded):
    """Real programs for all tests of a module; each says which of them it needs."""
    with Stack(tmp_path_factory.mktemp("var"), broker_socket) as programs:
        programs.loaded = loaded
        yield programs


@pytest.fixture
def shared(transactional_db, var, settings, programs):
    """The module's programs, on their own VAR; runs that a test leaves behind end with it."""
    settings.VAR, settings.STORE = programs.var, programs.var / "store"
    yield programs
    end_runs(programs)


def end_runs(programs):
    """Cancel what is not over, and wait until it is."""
    left = Run.objects.exclude(state__in=FINAL)
    for run in left.exclude(intent=Intent.CANCEL):
        with suppress(RunError):  # it has just ended by itself
            cancel_run(run, by=a_user())
    programs.until(lambda: not left.exists())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB and a hundred files."""
    if os.geteuid() != 0:
        pytest.skip("full disk: only root can mount a small one")
    with disks.mounted(tmp_path / "disk", "size=1m,nr_inodes=100") as disk:
        yield disk
