"""Half requests hold no thread, end by themselves and are few of an address; whole ones are answered."""

import os
import socket
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from tests.webapp.serving.conftest import HALF_BODY, HALF_HEAD, until
from webapp.machine.bodies import CUT, LOST, UNKNOWN
from webapp.serving import arrival, connections
from webapp.serving.__main__ import server_on
from webapp.serving.arrival import UNASKED, Body


@pytest.fixture
def impatient(monkeypatch):
    """Nobody is waited for."""
    monkeypatch.setattr(arrival, "START", 0.0)
    monkeypatch.setattr(connections, "IDLE", 0.0)


def is_closed(client):
    """Wait until the other side hangs up; what it said before that."""
    said = b""
    while piece := client.recv(1 << 16):
        said += piece
    return said


@pytest.mark.parametrize("half", [HALF_HEAD, HALF_BODY, b"", b"\r\n", b"P"])
def test_many_half_requests_keep_nobody_waiting(web, half):
    with ExitStack() as held:
        for _ in range(40):
            held.enter_context(web.connect(half))
        until(lambda: len(web.server.active_channels) == 40)
        assert web.ask("POST", body=b"whole") == (200, b"okwhole")


@pytest.mark.parametrize("half", [HALF_HEAD, HALF_BODY, b""])
def test_who_sends_half_a_request_is_not_waited_for(web, impatient, half):
    with web.connect(half) as client:
        assert is_closed(client) == b""


def test_who_sends_a_byte_now_and_then_is_not_waited_for_either():
    arriving = arrival.Arrival(server_on(socket.create_server(("127.0.0.1", 0)), 0, None, None).adj)
    arriving.received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    begun = arriving.due - arrival.START
    arriving.received(b"x" * 10)
    assert not arriving.is_late(begun + arrival.START - 1)
    assert arriving.is_late(begun + arrival.START + 1)
    arriving.received(b"x" * 100_000)
    assert not arriving.is_late(begun + arrival.START + 20)
    assert arriving.is_late(begun + arrival.START + 30)


def test_of_an_address_that_holds_too_many_the_oldest_go(web, monkeypatch):
    monkeypatch.setattr(connections, "MOST_HALF", 3)
    with ExitStack() as held:
        clients = [held.enter_context(web.connect(HALF_HEAD)) for _ in range(5)]
        assert [is_closed(client) for client in clients[:2]] == [b"", b""]
        clients[-1].sendall(b"b\r\n\r\n")
        assert clients[-1].recv(12) == b"HTTP/1.1 200"


def test_behind_a_proxy_the_address_is_the_clients(web, monkeypatch):
    monkeypatch.setattr(connections, "MOST_HALF", 1)
    web.proxies = 1
    told = HALF_BODY.replace(b"Host: a", b"Host: a\r\nX-Forwarded-For: forged, %s")
    with web.connect(told % b"192.0.2.1") as first, web.connect(told % b"192.0.2.2") as second:
        until(lambda: len(web.server.active_channels) == 2)
        with web.connect(told % b"192.0.2.1"):
            assert is_closed(first) == b""
            second.sendall(b"whole")
            assert second.recv(12) == b"HTTP/1.1 200"


def test_where_there_are_too_many_connections_a_quiet_one_makes_room(web, monkeypatch):
    monkeypatch.setattr(connections, "MOST", 4)
    with ExitStack() as held:
        quiet = [held.enter_context(web.connect()) for _ in range(4)]
        until(lambda: len(web.server.active_channels) == 4)
        assert web.ask()[0] == 200
        assert is_closed(quiet[0]) == b""


def test_who_reads_nothing_of_an_answer_holds_no_thread_for_long(web, monkeypatch):
    monkeypatch.setattr(connections, "UNREAD", 0.0)
    web.limits["known"] = 64 << 20
    size = 32 << 20
    head = b"POST / HTTP/1.1\r\nHost: a\r\nCookie: known\r\nContent-Length: %d\r\n\r\n" % size
    with web.connect(head) as client:
        client.sendall(bytes(size))
        until(lambda: not web.server.active_channels)


def test_who_reads_a_byte_now_and_then_is_not_waited_for_either(web):
    with web.connect():
        until(lambda: web.server.active_channels)
        (one,) = web.server.active_channels.values()
        one.total_outbufs_len = 1
        looks = [one.is_unread(clock) for clock in (5.0, 60.0, 66.0)]
        one.taken += connections.TAKEN
        looks += [one.is_unread(clock) for clock in (70.0, 130.0)]
        one.taken += 60
        looks += [one.is_unread(clock) for clock in (185.0, 195.0)]
        one.total_outbufs_len = 0
    assert looks == [False, False, True, False, False, False, True]


def test_large_bodies_are_kept_as_far_as_the_rules_let_them(web):
    web.limits["known"] = UNASKED + 10
    body = os.urandom(UNASKED + 20)
    assert web.ask("POST", "/large/", body, Cookie="known")[0] == 200
    assert web.ask("POST", "/large/", body[:-10], Cookie="known")[0] == 200
    assert web.ask("POST", "/large/", body)[0] == 200
    kept = [(len(seen["body"]), CUT in seen) for seen in web.seen]
    assert kept == [(UNASKED + 10, True), (UNASKED + 10, False), (UNASKED, True)]
    assert web.seen[0]["body"] == body[:-10]


def test_a_large_body_of_somebody_whom_nobody_knows_just_now_is_told_from_a_strangers(web):
    web.limits["known"] = None
    body = os.urandom(UNASKED + 20)
    assert web.ask("POST", "/large/", body, Cookie="known")[0] == 200
    assert web.ask("POST", "/large/", body)[0] == 200
    assert web.ask("POST", "/small/", body[:20], Cookie="known")[0] == 200
    told = [(CUT in seen, UNKNOWN in seen) for seen in web.seen]
    assert told == [(True, True), (True, False), (False, False)]


def test_pieces_without_a_length_are_kept_as_far_as_the_rules_let_them(web):
    web.limits["known"] = UNASKED + 10
    pieces = [b"x" * (UNASKED // 2)] * 3
    client = HTTPConnection("127.0.0.1", web.port, timeout=20)
    client.request("POST", "/", iter(pieces), {"Cookie": "known"}, encode_chunked=True)
    assert client.getresponse().status == 200
    assert (len(web.seen[0]["body"]), CUT in web.seen[0]) == (UNASKED + 10, True)


def test_nothing_is_asked_about_small_bodies(web):
    web.admitted = None
    assert web.ask("POST", body=b"x" * UNASKED)[0] == 200
    assert CUT not in web.seen[0]


def test_a_body_that_the_disk_refuses_is_told_to_the_application(web, monkeypatch):
    def full(_self, _sent):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Body, "keep", full)
    assert web.ask("POST", body=b"lost") == (200, b"ok")
    assert LOST in web.seen[0]


def test_an_answer_to_head_is_that_to_get_without_its_body(web):
    head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    with web.connect(head + head.replace(b"HEAD", b"GET") + b"bad\r\n\r\n") as client:
        first, second, third, *_ = is_closed(client).split(b"\r\n\r\n")
    assert b"Content-Length: 2" in first
    assert second.startswith(b"HTTP/1.1 200")
    assert third.startswith(b"okHTTP/1.0 400")


@pytest.mark.parametrize(
    ("said", "scheme"), [("https", "https"), ("http", "http"), ("https, http", "http")]
)
def test_a_proxy_of_this_machine_says_whether_people_came_by_https(web, said, scheme):
    web.ask(X_Forwarded_Proto=said)
    assert web.seen[0]["wsgi.url_scheme"] == scheme


def test_no_header_says_where_the_application_is_mounted(web):
    web.ask(Script_Name="/elsewhere")
    assert web.seen[0]["SCRIPT_NAME"] == ""


def test_who_waits_for_an_answer_is_told_apart_from_who_does_not(web):
    with web.connect(b"GET /waits/ HTTP/1.1\r\nHost: a\r\n\r\n") as client:
        until(web.server.is_busy)
        web.release.set()
        assert client.recv(12) == b"HTTP/1.1 200"
    until(lambda: not web.server.is_busy())
