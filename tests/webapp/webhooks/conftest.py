"""A program that listens, and a webhook that tells it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.factories import a_user
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.webhooks.services import make_webhook


class Listener(ThreadingHTTPServer):
    """Answers by `status` and `headers`, and keeps what it was sent."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.forget()

    def forget(self):
        self.status, self.headers, self.heard = 204, {}, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook?x=1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Nobody reads it."""


@pytest.fixture(scope="session")
def listening():
    server = Listener()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def listener(listening, settings):
    """The program, on a network that webhooks may reach."""
    settings.WEBHOOK_NETWORKS = ("127.0.0.0/8",)
    listening.forget()
    return listening


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def made(project, admin, listener):
    """A webhook that is told of runs that end, and its secret."""
    return make_webhook(project, url=listener.url, acts=[Act.RUN_ENDED], by=admin)


@pytest.fixture
def webhook(made):
    return made[0]
