"""Where webhooks may be: never on a private network, however that is written, and whatever a name says."""

import ipaddress
import socket
import time

import pytest

from webapp.webhooks.errors import WebhookError
from webapp.webhooks.targets import check_target, connect, is_public, target_of

PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1",
    "203.0.113.9", "224.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1",
    "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
    "2002:7f00:1::", "2001::1", "2001:db8::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
# Ways of writing 127.0.0.1 and its like that some resolver understands.
ODD = [
    "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://0/",
    "https://localhost/", "https://LOCALHOST./", "https://[::1]/", "https://[::ffff:7f00:1]/", "https://127.0.0.1:22/",
]  # fmt: skip
NONSENSE = [
    "", "x", "https://", "https:///x", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org/",
    "https://a:b@example.org/", "https://@example.org/", "https://example.org:0/", "https://example.org:99999/",
    "https://example.org:x/", "https://exa mple.org/", "https://example.org/\r\nX: y", "https://example.org/\n",
    "https://[::1", "https://é.example/", "https://example.org/ü", "https://example.org\\@localhost/",
    f"https://{'a' * 70}.org/", "javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused(address):
    assert not is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(WebhookError, match="private network"):
        check_target(f"https://{host}/hook")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_taken(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", ODD)
def test_however_it_is_written_nothing_private_is_connected(url, monkeypatch):
    def never(*_):
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", never)
    with pytest.raises(WebhookError):
        connect(target_of(url), time.monotonic() + 5)


@pytest.mark.parametrize("url", NONSENSE)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(WebhookError):
        target_of(url)


def test_an_address_is_taken_apart():
    assert target_of("https://example.org?a=b") == ("https", "example.org", 443, "/?a=b")
    assert target_of("http://Example.org:8080/x") == ("http", "example.org", 8080, "/x")


def test_a_name_that_says_otherwise_the_next_time_is_asked_once(listener, settings, monkeypatch):
    """What was judged is what is connected: a resolver that flips is not asked again."""
    place = ("127.0.0.1", listener.server_port)
    answers = [place]

    def resolve(*_args, **_options):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answers.pop(0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    target = target_of(f"http://example.org:{listener.server_port}/")
    with connect(target, time.monotonic() + 5) as found:
        assert found.getpeername() == place
    settings.WEBHOOK_NETWORKS = ()
    answers.append(place)
    with pytest.raises(WebhookError, match="private network"):
        connect(target, time.monotonic() + 5)


def test_the_world_is_spoken_to_by_https_alone(monkeypatch):
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_a, **_o: [(socket.AF_INET, 1, 6, "", ("1.1.1.1", 80))]
    )
    with pytest.raises(WebhookError, match="https"):
        connect(target_of("http://example.org/"), time.monotonic() + 5)


def test_a_resolver_that_does_not_answer_is_given_up(monkeypatch):
    hanging = socket.socketpair()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: hanging[0].recv(1))
    with pytest.raises(TimeoutError):
        connect(target_of("https://example.org/"), time.monotonic() + 0.05)
    for each in hanging:
        each.close()
