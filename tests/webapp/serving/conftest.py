"""A web server in this process, with an application that says what it was asked."""

import socket
import threading
import time
from http.client import HTTPConnection

import pytest
from waitress import wasyncore

from webapp.serving.__main__ import server_on

HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "
HALF_BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"


class Web:
    """A server with an application that says what it was asked, and the rules it goes by."""

    proxies = 0

    def __init__(self, threads):
        self.place = socket.create_server(("127.0.0.1", 0))
        self.port = self.place.getsockname()[1]
        self.seen = []
        self.limits = {}  # by cookie
        self.release = threading.Event()
        self.server = server_on(self.place, threads, self.answer, self)
        self.server.adj.cleanup_interval = 0.05  # seconds: nobody waits one for what is looked at
        self.over = False
        self.thread = threading.Thread(target=self.turn)

    def turn(self):
        while not self.over:
            wasyncore.loop(timeout=0.05, use_poll=True, map=self.server._map, count=1)

    def admitted(self, _path, cookies, _authorization):
        return self.limits.get(cookies, 0)

    def answer(self, environ, start):
        if environ["PATH_INFO"] == "/waits/":
            self.release.wait(20)
        body = environ["wsgi.input"].read()
        self.seen.append(environ | {"body": body})
        start("200 OK", [("Content-Length", str(len(body) + 2))])
        return [b"ok", body]

    def connect(self, sent=b""):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall(sent)
        return client

    def ask(self, method="GET", path="/", body=None, **headers):
        client = HTTPConnection("127.0.0.1", self.port, timeout=20)
        client.request(
            method, path, body, {name.replace("_", "-"): it for name, it in headers.items()}
        )
        answer = client.getresponse()
        said = answer.status, answer.read()
        client.close()
        return said

    def end(self):
        if self.over:
            return
        self.over = True
        self.release.set()
        self.server.pull_trigger()
        if self.thread.is_alive():
            self.thread.join()
        self.server.task_dispatcher.shutdown(timeout=5)
        wasyncore.close_all(self.server._map)


@pytest.fixture
def web():
    web = Web(threads=2)
    web.thread.start()
    yield web
    web.end()


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
