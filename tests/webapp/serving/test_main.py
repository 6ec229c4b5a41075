"""The web program itself: where it listens, how it ends, and that who waits is answered."""

import os
import resource
import signal
import threading

import pytest

from tests.webapp.serving.conftest import HALF_BODY, HALF_HEAD, Web, until
from webapp.serving import __main__ as module
from webapp.serving.__main__ import HANDLES, answer_until_asked_to_end, command_line, raise_limits

WAITS = b"GET /waits/ HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def web():
    """Nobody turns it but the test."""
    web = Web(threads=2)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield web
    for number, action in before.items():
        signal.signal(number, action)
    web.end()


def meanwhile(act):
    """Do something in another thread; what it returned is in the list once it has ended."""
    found = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    return thread, found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_waits_for_an_answer_gets_it_and_nobody_new_is_let_in(web, number):
    def act():
        with web.connect(WAITS) as waiting:
            until(web.server.is_busy)
            os.kill(os.getpid(), number)
            until(lambda: not web.server.accepting)
            with pytest.raises(OSError, match=r"refused|reset"):
                web.connect()
            web.release.set()
            return waiting.recv(12)

    thread, found = meanwhile(act)
    answer_until_asked_to_end(web.server)
    thread.join()
    assert found == [b"HTTP/1.1 200"]


@pytest.mark.parametrize("half", [HALF_HEAD, HALF_BODY, b""])
def test_half_a_request_keeps_nothing_from_ending(web, half, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 3600.0)

    def act():
        with web.connect(half):
            until(lambda: web.server.active_channels)
            os.kill(os.getpid(), signal.SIGTERM)
            over.wait(20)

    over = threading.Event()
    thread, _ = meanwhile(act)
    answer_until_asked_to_end(web.server)
    over.set()
    thread.join()


def test_an_answer_that_never_comes_is_not_waited_for_for_ever(web, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.0)

    def act():
        with web.connect(WAITS):
            until(web.server.is_busy)
            os.kill(os.getpid(), signal.SIGTERM)
            over.wait(20)

    over = threading.Event()
    thread, _ = meanwhile(act)
    answer_until_asked_to_end(web.server)
    assert web.server.is_busy()
    over.set()
    thread.join()


def test_it_listens_on_a_port_or_on_what_it_is_given():
    assert command_line(["--port", "8000"]).port == 8000
    assert command_line(["--handle", "5", "--threads", "3"]).threads == 3
    for wrong in ([], ["--port", "x"], ["--port", "1", "--handle", "2"]):
        with pytest.raises(SystemExit):
            command_line(wrong)


def test_it_may_open_as_many_files_as_its_connections_need():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = before[1] if before[1] != resource.RLIM_INFINITY else HANDLES
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, most), before[1]))
        raise_limits()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(HANDLES, most), before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
