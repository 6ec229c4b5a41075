"""`manage.py stack` itself: how it starts, under which settings, and what ends it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError

from tests import postgres
from tests.cases import cases
from tests.webapp.ended import still_running
from webapp.machine.endings import ended_by_signals
from webapp.machine.keeper import Keeper
from webapp.operations import stack
from webapp.projects.services import save_composition

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
PATIENCE = 90  # seconds; two cores are shared by many
# Every variable of docs/operations.md about serving a team, and a proxy that answers nobody.
TEAM = {
    "ATTUNE_HTTPS": "1",
    "ATTUNE_HOSTS": "attune.example,www.attune.example",
    "ATTUNE_PROXIES": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}
SERVERS = {"DATABASE_URL", "REDIS_URL"}  # of its own, in a proof below
WEBS = """
import os, sys
os.environ.clear()
os.environ.update({environment})
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
import django
django.setup()
from webapp.operations.stack import WebOnly
with WebOnly(webs=2) as stack:
    print(stack.url, flush=True)
    sys.stdin.read()
"""
PROXIED = {
    "Host": "attune.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.7",
}


class Started:
    """A stack in a process of its own."""

    def __init__(self, var, *arguments, command="stack", stdout=None, **environment):
        self.out = var / "out.txt"
        with self.out.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", command, *arguments],
                cwd=settings.BASE_DIR,
                env=clean() | {"ATTUNE_VAR": str(var), "ATTUNE_THREADS": "1"} | environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout or out,
                stderr=out,
                start_new_session=True,
            )
        self.seen = []

    def said(self):
        return self.out.read_text()

    def until(self, words):
        """Wait until it says so; the processes that it has by then."""
        end = time.monotonic() + PATIENCE
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)
        self.seen = psutil.Process(self.process.pid).children(recursive=True)
        return self

    def left(self):
        """What is left of it when it has ended."""
        self.process.wait(PATIENCE)
        return still_running(self.seen, 15)


def clean():
    """Our environment without what a test run sets."""
    ours = ("ATTUNE_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@contextmanager
def started(var, *arguments, **options):
    """A stack that is gone at the end whatever happens."""
    run = Started(var, *arguments, **options)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.seen = psutil.Process(run.process.pid).children(recursive=True)
            run.process.send_signal(signal.SIGINT)
        run.left()


@pytest.fixture
def port():
    return stack.free_port()


def sign_in(client, name, password):
    """Post the form as a browser behind an HTTPS proxy does."""
    page = client.get("/accounts/login/")
    assert page.status_code == 200
    token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    return client.post(
        "/accounts/login/",
        data={"login": name, "password": password, "csrfmiddlewaretoken": token},
        headers={
            "Origin": "https://attune.example",
            "Referer": "https://attune.example/accounts/login/",
            "Cookie": cookies_of(client),
        },
    )


def behind_a_proxy(port):
    return httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers=PROXIED, trust_env=False, timeout=20
    )


def token_of(run):
    """The secret in the link that the stack printed."""
    return run.said().split("(the link works once): ")[1].split()[0].split("/")[4]


def make_admin(client, run):
    """Make the admin by the link that the stack printed."""
    link = run.said().split("(the link works once): ")[1].split()[0]
    assert link.startswith("https://attune.example/setup/")  # what a person can open
    path = link[link.index("/setup/") :]
    path = client.get(path).headers["Location"]
    page = client.get(path, headers={"Cookie": cookies_of(client)})
    token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
    words = {"username": "ada", "password1": "glad-tidings-9", "password2": "glad-tidings-9"}
    return client.post(
        path,
        data=words | {"csrfmiddlewaretoken": token},
        headers={"Origin": "https://attune.example", "Cookie": cookies_of(client)},
    )


def cookies_of(client):
    """All that a browser has: for HTTPS alone, httpx sends them over HTTP to nobody."""
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


@pytest.mark.slow
def test_the_settings_of_a_team_start_and_a_proxy_reaches_them(var, port):
    with started(var, "--port", str(port), **TEAM) as run, behind_a_proxy(port) as client:
        run.until("(the link works once)")
        plain = client.get("/accounts/login/", headers={"X-Forwarded-Proto": "http"})
        assert plain.status_code == 301
        assert plain.headers["Location"].startswith("https://attune.example/")
        assert client.get("/accounts/login/", headers={"Host": "x.example"}).status_code == 400
        assert client.get("/healthz").status_code == 404  # for this machine alone
        assert make_admin(client, run).status_code == 302
        client.cookies.clear()
        assert sign_in(client, "ada", "glad-tidings-9").headers["Location"] == "/"
        written = "".join(path.read_text() for path in (var / "logs").iterdir())
        assert "GET /setup/…/ " in written
        assert "POST /setup/…/" in written
        assert token_of(run) not in written


@pytest.mark.parametrize(
    ("hosts", "https", "reached"),
    [
        (["localhost", "127.0.0.1", "[::1]"], False, "http://127.0.0.1:8000"),
        (["attune.example", "127.0.0.1"], False, "http://127.0.0.1:8000"),
        (["attune.example"], False, "http://attune.example"),
        ([".attune.example"], True, "https://attune.example"),
        (["attune.example", "127.0.0.1"], True, "https://attune.example"),
    ],
)
def test_the_address_that_is_told_can_be_opened(settings, hosts, https, reached):
    settings.ALLOWED_HOSTS, settings.HTTPS = hosts, https
    assert stack.address(SimpleNamespace(url="http://127.0.0.1:8000")) == reached


def test_every_documented_way_of_serving_is_started_here():
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    section = text.split("## Serving a team")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE))
    assert documented == {name for name in TEAM if name.startswith("ATTUNE_")} | SERVERS


@pytest.mark.prove
@pytest.mark.parametrize("name", sorted(TEAM))
def test_each_setting_of_a_team_starts_alone(var, port, name):
    with started(var, "--port", str(port), **{name: TEAM[name]}) as run:
        run.until(f"Attune is on http://127.0.0.1:{port}")


@pytest.mark.prove
def test_a_team_on_servers_of_its_own_starts(var, port, tmp_path_factory):
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL: no server installed")
    folder = tmp_path_factory.mktemp("redis")
    command = stack.broker_command()
    command[command.index("--unixsocket") + 1] = str(folder / "own.sock")
    own = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    urls = {"REDIS_URL": f"redis+socket://{folder}/own.sock?virtual_host=0"}
    try:
        with postgres.server() as server:
            urls["DATABASE_URL"] = server.url
            with started(var, "--port", str(port), **TEAM, **urls) as run:
                run.until("Attune is on")
                assert not (var / "broker.sock").exists()
    finally:
        own.kill()
        own.wait()


PROVED = [
    pytest.param(number, marks=pytest.mark.prove) for number in (signal.SIGINT, signal.SIGTERM)
]


@pytest.fixture(scope="module")
def unread(tmp_path_factory, migrated):
    """Starts a stack whose reader went away, as under `stack | head`, where none runs any more.

    It finds the database that an earlier start left.
    """
    with ExitStack() as runs:
        last = None

        def running():
            nonlocal last
            if last is None or last.process.poll() is not None:
                var = tmp_path_factory.mktemp("unread")
                copy_database(migrated, var)
                last = runs.enter_context(without_reader(var))
            return last

        yield running


def copy_database(migrated, var):
    """Put the file where a stack looks for its database, unless tests are on PostgreSQL."""
    if migrated:
        shutil.copy(migrated, var / "attune.sqlite3")


@contextmanager
def without_reader(var):
    """A stack of which each line finds nobody who reads it; it answers."""
    port = stack.free_port()
    reading, writing = os.pipe()
    with started(var, "--port", str(port), stdout=writing, ATTUNE_WEBS="1") as run:
        os.close(reading)
        os.close(writing)
        answers(run, port)
        run.port = port
        yield run


def test_a_signal_that_is_lost_where_it_is_raised_is_heard_by_the_next_look():
    class Kept:
        def check(self):
            raise AssertionError("the signal is heard first")

    lost = object.__new__(stack.Stack)
    lost.keeper = Kept()
    with ended_by_signals():
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            lost.check()


def test_a_reader_that_went_away_ends_nothing(unread):
    assert keeps(unread(), "tend")


def test_nobody_is_refused_while_the_web_starts_again(unread):
    run = unread()
    web = program(run, "web")
    web.kill()
    web.wait(PATIENCE)
    assert answered(f"http://127.0.0.1:{run.port}")


@pytest.mark.parametrize("number", [signal.SIGHUP, *PROVED])
def test_a_signal_ends_every_program(unread, number):
    run = unread()
    program(run, "tend")  # the last to start
    run.seen = psutil.Process(run.process.pid).children(recursive=True)
    assert len(run.seen) >= 10  # five guards, five programs
    run.process.send_signal(number)
    assert not run.left()
    assert run.process.returncode == 0


@pytest.mark.prove
def test_a_restart_keeps_its_address(var, port):
    with started(var, "--port", str(port)) as run:
        run.until("Attune is on")
        with socket.create_connection(("127.0.0.1", port)):  # a browser that stays open
            run.process.send_signal(signal.SIGINT)
            assert not run.left()
    assert in_time_wait(port)
    with started(var, "--port", str(port)) as again:
        again.until(f"Attune is on http://127.0.0.1:{port}")


def test_what_a_stop_leaves_in_time_wait_does_not_hold_a_port(port):
    with closing(stack.listening(port)) as server:
        browser = socket.create_connection(("127.0.0.1", port))
        server.accept()[0].close()  # the server ends first, so its side waits
        assert browser.recv(1) == b""
        browser.close()
    assert in_time_wait(port)
    stack.listening(port).close()


@pytest.mark.slow
def test_several_webs_answer_on_one_port(var, migrated):
    copy_database(migrated, var)
    code = WEBS.format(environment=clean() | {"ATTUNE_VAR": str(var)})
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        url = run.stdout.readline().decode().strip()
        assert answered(url)
        for name in ("web", "web-2"):  # of which either may be gone
            program(SimpleNamespace(process=run), name).kill()
            assert answered(url)
        run.stdin.close()
    logs = [(var / "logs" / f"{name}.log").read_text() for name in ("web", "web-2")]
    assert "GET /healthz" in "".join(logs)


def answered(url):
    """Whether it is well."""
    return httpx.get(f"{url}/healthz", timeout=PATIENCE, trust_env=False).status_code == 200


def answers(run, port):
    """Wait until the web of this stack answers."""
    end = time.monotonic() + PATIENCE
    while not stack.web_answers(f"http://127.0.0.1:{port}"):
        assert time.monotonic() < end, run.said()
        time.sleep(0.05)


def keeps(run, name):
    """Whether a program of the stack is started again when it is killed."""
    stack_ = psutil.Process(run.process.pid)
    victim = program(run, name)
    guard = victim.parent()
    victim.kill()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and run.process.poll() is None:
        with suppress(psutil.NoSuchProcess):  # one of them has just ended
            others = [each for each in stack_.children() if each != guard]
            if any(f"{name}.log" in str(each.cmdline()) for each in others):
                return True
        time.sleep(0.05)
    return False


def program(run, name):
    """A program of the stack, by its log, once it is there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(
            psutil.Error, StopIteration, IndexError
        ):  # it has just ended, or has yet to start
            guards = psutil.Process(run.process.pid).children()
            return next(
                one for one in guards if one.cmdline()[5].endswith(f"/{name}.log")
            ).children()[0]
        time.sleep(0.05)
    raise AssertionError(run)


def in_time_wait(port):
    """Whether the machine still remembers a connection to this port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "06" for line in lines
    )


@cases("command", ["stack", "demo"], quick=["stack"])
def test_a_port_that_is_taken_is_refused_in_words(var, port, command):
    with closing(socket.create_server(("127.0.0.1", port))):
        run = Started(var, "--port", str(port), command=command)
        assert run.process.wait(PATIENCE) == 1
    assert f"Port {port} is taken by another program" in run.said()
    assert "choose another port" in run.said()
    assert "Attune is on" not in run.said()


@pytest.mark.parametrize("command", ["stack", "demo"])
def test_what_is_set_wrongly_is_said_before_anything_starts(var, settings, port, command):
    settings.CSRF_FAILURE_VIEW = "nowhere.view"
    with pytest.raises(SystemCheckError, match="E102"):
        call_command(command, port=port)
    assert not (var / "logs").exists()


def test_another_port_is_never_taken_instead(port):
    holder = socket.create_server(("127.0.0.1", port))
    with closing(holder), pytest.raises(stack.StackError, match="taken"):
        stack.listening(port)
    stack.listening(port).close()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none_is_refused_in_words(port):
    with pytest.raises(stack.StackError, match="choose one from"):
        stack.listening(port)


@pytest.mark.django_db
def test_a_live_worker_is_started_once_a_project_wants_one(monkeypatch, project):
    started = []
    monkeypatch.setattr(
        Keeper,
        "start",
        lambda keeper, name, *_: started.append(name) or keeper.kept.update({name: None}),
    )
    monkeypatch.setattr(stack.connection, "close", lambda: None)  # it is the test's too
    programs = stack.Stack()
    programs.start_wanted()
    assert started == []
    save_composition(project, {"converse": {"models": [1]}}, seen=1)
    for _ in range(2):
        programs.start_wanted()
    assert started == ["worker-live"]
    programs.place.close()


def test_a_database_that_is_away_is_said_in_words(monkeypatch):
    def refuse(*_args, **_options):
        raise OperationalError("refused") from psycopg.OperationalError("refused")

    monkeypatch.setattr(stack, "bring_tables", refuse)
    with pytest.raises(stack.StackError, match="cannot be used now: refused"):
        stack.prepare_database()
