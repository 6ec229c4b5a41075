"""The broker keeps nothing, so that whichever one is found next starts beside what others left."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis
from kombu import Connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from webapp.operations import stack
from webapp.settings import broker_socket

OWN = shutil.which("redis-server") or shutil.which("valkey-server")
SERVERS = {"bundled": stack.bundled_broker(), "the machine's own": OWN}


@pytest.fixture
def started(settings, monkeypatch, tmp_path_factory):
    """Start a broker on this VAR as a stack does, with the server of this name; a connection to it."""
    running = []
    settings.BROKER_SOCKET = tmp_path_factory.mktemp("socket") / "broker.sock"

    def start(name):
        if SERVERS[name] is None:
            pytest.skip("broker: no server of the machine's own")
        monkeypatch.setattr(stack.shutil, "which", lambda _: SERVERS[name])
        stack.forget_broker_files(settings.VAR)
        with (Path(settings.VAR) / "broker.log").open("ab") as log:
            running.append(subprocess.Popen(stack.broker_command(), stdout=log, stderr=log))
        while not stack.broker_accepts():
            assert running[-1].poll() is None, (Path(settings.VAR) / "broker.log").read_text()
        place = str(settings.BROKER_SOCKET)
        return redis.Redis(unix_socket_path=place, retry=Retry(NoBackoff(), 0))

    yield start
    for broker in running:
        broker.kill()
        broker.wait()


def left_behind(folder, server):
    """What a broker that keeps all it is told leaves in a folder: an append-only file and a dump."""
    socket = folder / "other.sock"
    command = [server, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    broker = subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert broker.poll() is None
    with redis.Redis(unix_socket_path=str(socket)) as told:
        told.set("kept", "x" * 1000)
        told.save()
    broker.kill()
    broker.wait()
    assert (folder / "appendonlydir").is_dir()
    assert (folder / "dump.rdb").is_file()


@pytest.mark.parametrize("before", SERVERS)
@pytest.mark.parametrize("after", SERVERS)
def test_a_broker_starts_beside_what_another_left(started, var, before, after):
    if SERVERS[before] is None:
        pytest.skip("broker: no server of the machine's own")
    left_behind(var, SERVERS[before])
    assert started(after).dbsize() == 0


@pytest.mark.parametrize("server", SERVERS)
def test_a_broker_starts_beside_files_that_no_broker_can_read(started, var, server):
    (var / "appendonlydir").mkdir()
    for name in ("appendonlydir/appendonly.aof.manifest", "dump.rdb", "appendonly.aof"):
        (var / name).write_bytes(os.urandom(200))
    assert started(server).ping()


@pytest.mark.parametrize("length", [10, 90, 4000])
def test_every_program_finds_the_same_socket_whatever_its_tmpdir(monkeypatch, tmp_path, length):
    folder = Path("/") / ("v" * length)
    found = set()
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
        found.add(broker_socket(folder))
    assert len(found) == 1
    assert len(str(found.pop())) < 104  # what a socket's path may hold, on any system


@pytest.mark.parametrize("server", SERVERS)
def test_a_broker_keeps_nothing(started, var, server):
    broker = started(server)
    broker.set("told", "x")
    before = {path.name for path in var.iterdir()}
    broker.shutdown()
    assert {path.name for path in var.iterdir()} == before == {"broker.log"}
    assert started(server).dbsize() == 0


def test_a_broker_of_somebody_elses_that_does_not_answer_is_said_without_its_password(monkeypatch):
    monkeypatch.setattr(stack, "TRIES", 1)
    away = "redis://:canary@127.0.0.1:1/0"
    monkeypatch.setattr(stack.current_app.conf, "broker_write_url", away)
    with pytest.raises(
        stack.StackError, match=r"REDIS_URL names redis://.*127.0.0.1:1/0, where no"
    ) as told:
        stack.expect_broker()
    assert "canary" not in str(told.value)


def test_two_installations_on_one_broker_do_not_take_each_others_messages(started):
    broker = started("bundled")
    url = f"redis+socket://{stack.settings.BROKER_SOCKET}?virtual_host=0"
    queues = []
    for name in ("one", "other"):
        connection = Connection(url, transport_options={"global_keyprefix": f"attune-{name}:"})
        queues.append(connection.SimpleQueue("runs"))
    queues[0].put("ring")
    with pytest.raises(queues[1].Empty):
        queues[1].get_nowait()
    assert queues[0].get_nowait().payload == "ring"
    prefix = stack.settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    with stack.current_app.connection_for_write(url) as ours:
        ours.SimpleQueue("runs").put("ring")
    assert all(
        key.startswith((b"attune-one:", b"attune-other:", prefix.encode()))
        for key in broker.scan_iter()
    )
    assert broker.exists(f"{prefix}runs")
