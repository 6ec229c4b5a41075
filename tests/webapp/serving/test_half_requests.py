"""People label while somebody holds hundreds of half requests open, and opens each again that is closed."""

import socket
import threading
import time
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest
from django.conf import settings

from tests.factories import a_user, some_tasks
from tests.webapp.serving.conftest import HALF_BODY, HALF_HEAD
from webapp.accounts.roles import Role
from webapp.demo.annotators import JSON, Login, sign_in

pytestmark = [pytest.mark.stack, pytest.mark.once, pytest.mark.timeout(300)]
HALVES = [HALF_HEAD, HALF_BODY] * 200


class Held:
    """Half requests; one that is closed is opened again."""

    def __init__(self, port):
        self.port, self.over = port, threading.Event()
        self.open = [(half, self.half(half)) for half in HALVES]
        self.again = threading.Thread(target=self.hold)
        self.again.start()

    def half(self, half):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        client.sendall(half.replace(b"Host: a", b"Host: 127.0.0.1"))
        client.setblocking(False)
        return client

    def hold(self):
        while not self.over.wait(0.1):
            self.open = [(half, self.kept(half, client)) for half, client in self.open]

    def kept(self, half, client):
        try:
            if client.recv(1):
                return client
        except BlockingIOError:
            return client
        except OSError:
            pass
        client.close()
        return self.half(half)

    def end(self):
        self.over.set()
        self.again.join()
        for _, client in self.open:
            client.close()


@contextmanager
def held(port):
    """All of them, for a while."""
    halves = Held(port)
    try:
        yield
    finally:
        halves.end()


@pytest.fixture
def person(shared, project):
    """Somebody who labels over HTTP, and enough to label."""
    project.min_visible_ms = 0
    project.save()
    login = Login("ana", uuid4().hex, 1)
    a_user(project, Role.ANNOTATOR, username=login.username, password=login.password)
    shared.only("web")
    with httpx.Client(base_url=shared.url, timeout=60, trust_env=False) as client:
        sign_in(client, login)
        client.page = f"/p/{project.pk}/label/"
        yield client


def seconds(person, count):
    """How long the web took for each of so many answers."""
    found = []
    for _ in range(count):
        card = person.get(person.page, headers=JSON).json()
        form = {
            "assignment": card["assignment"],
            "choice": 1,
            "client_id": str(uuid4()),
            "csrfmiddlewaretoken": person.cookies[settings.CSRF_COOKIE_NAME],
        }
        begun = time.perf_counter()
        assert person.post(person.page, data=form, headers=JSON).status_code == 200
        found.append(time.perf_counter() - begun)
    return sorted(found)


@pytest.mark.slow
def test_hundreds_of_half_requests_keep_nobody_from_labelling(shared, project, person):
    some_tasks(project, 8)
    with held(shared.port):
        assert len(seconds(person, 5)) == 5


@pytest.mark.prove
def test_an_answer_takes_at_most_twice_as_long_beside_hundreds_of_half_requests(
    shared, project, person
):
    some_tasks(project, 330)
    seconds(person, 20)  # warm
    alone = seconds(person, 100)
    with held(shared.port):
        beside = seconds(person, 100)
    again = seconds(person, 100)
    usual = (alone[94] + again[94]) / 2
    print(f"p95 alone {alone[94]:.3f} and {again[94]:.3f} s, beside {beside[94]:.3f} s")
    assert beside[94] <= 2 * usual
