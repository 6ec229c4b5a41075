"""One request to a webhook: within its time and bytes, and never further."""

import socket
import subprocess
import threading
import time
from shutil import which

import pytest

from webapp.webhooks import sending
from webapp.webhooks.errors import WebhookError
from webapp.webhooks.sending import MOST, post


def test_what_is_sent_arrives_as_it_is(listener):
    assert post(listener.url, b'{"a": 1}', {"X-One": "1"}) == 204
    ((path, headers, body),) = listener.heard
    assert (path, body, headers["X-One"]) == ("/hook?x=1", b'{"a": 1}', "1")
    assert headers["Host"] == f"127.0.0.1:{listener.server_port}"


def test_a_redirect_is_an_answer_and_not_followed(listener):
    listener.status, listener.headers = 302, {"Location": listener.url}
    assert post(listener.url, b"", {}) == 302
    assert len(listener.heard) == 1


def test_nothing_reaches_a_private_network(listener, settings):
    settings.WEBHOOK_NETWORKS = ("10.0.0.0/8",)
    for url in (listener.url, listener.url.replace("127.0.0.1", "localhost")):
        with pytest.raises(WebhookError, match="private network"):
            post(url, b"", {})
    assert listener.heard == []


@pytest.fixture
def wire(listener):
    """Where somebody listens who answers as a test says: a function that gets the connection."""
    server = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve(answer):
        def one():
            connection = server.accept()[0]
            with connection:
                connection.recv(65536)
                answer(connection, done)

        threading.Thread(target=one, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/"

    yield serve
    done.set()
    server.close()


def drip(connection, done):
    """A byte now and then, for ever."""
    while not done.wait(0.02):
        try:
            connection.sendall(b"x")
        except OSError:
            return


def flood(connection, _done):
    """Headers without end."""
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(MOST):
            connection.sendall(b"X-%d: %s\r\n" % (number, b"y" * 1000))
    except OSError:
        return


def test_an_answer_that_drips_is_given_up(wire, monkeypatch):
    monkeypatch.setattr(sending, "LONGEST", 0.2)
    began = time.monotonic()
    with pytest.raises(WebhookError, match="No answer"):
        post(wire(drip), b"", {})
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "answer",
    [
        flood,
        lambda connection, _done: connection.sendall(b"SSH-2.0-x\r\n\r\n"),
        lambda connection, _done: connection.sendall(b"HTTP/1.1 2e2 OK\r\n\r\n"),
        lambda _connection, _done: None,
    ],
)
def test_what_is_no_answer_is_told(wire, answer):
    with pytest.raises(WebhookError, match="The connection failed"):
        post(wire(answer), b"", {})


def test_only_a_known_certificate_is_trusted(listener, tmp_path, monkeypatch):
    with pytest.raises(WebhookError, match="No safe connection"):
        post(listener.url.replace("http://", "https://"), b"", {})


def test_a_trusted_certificate_is_asked_for_by_its_name(listener, tmp_path, monkeypatch):
    if which("openssl") is None:
        pytest.skip("openssl: not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{server.getsockname()[1]}/"

    def serve():
        theirs = sending.ssl.SSLContext(sending.ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(certificate, key)
        for _ in range(3):
            try:
                with theirs.wrap_socket(server.accept()[0], server_side=True) as one:
                    one.recv(65536)
                    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises(WebhookError, match="No safe connection: self-signed certificate"):
        post(url, b"", {})
    trust = sending.ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr(sending, "_trust", lambda: trust)
    assert post(url, b"", {}) == 200
    with pytest.raises(WebhookError, match="No safe connection"):  # the same, by another name
        post(url.replace("localhost", "127.0.0.1"), b"", {})
    server.close()
