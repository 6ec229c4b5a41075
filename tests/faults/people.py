"""People who label over HTTP while programs die, and send each answer until it is acknowledged."""

import random
import threading
from collections.abc import Callable
from uuid import uuid4

import httpx
from django.conf import settings

from tests.factories import a_user
from tests.faults.ledger import Ledger
from webapp.accounts.roles import Role
from webapp.demo.annotators import JSON, AnnotatorError, Login, sign_in
from webapp.machine.outages import AWAY, FULL_DISK
from webapp.projects.models import Project

REPLAYED = 0.1
BUSY = (httpx.TransportError, httpx.HTTPStatusError, AnnotatorError, KeyError)


class Person:
    """An annotator who sends an answer again until it is acknowledged."""

    def __init__(self, url: str, project: Project, ledger: Ledger, seed: int) -> None:
        self.login = Login(f"person-{seed}", uuid4().hex, seed)
        a_user(project, Role.ANNOTATOR, username=self.login.username, password=self.login.password)
        self.url, self.ledger, self.chance = url, ledger, random.Random(seed)
        self.page = f"/p/{project.pk}/label/"

    def work(self, over: threading.Event) -> None:
        """Label until it is over."""
        with httpx.Client(base_url=self.url, timeout=30) as client:
            self.insist(over, lambda: sign_in(client, self.login))
            while not over.is_set():
                card = self.insist(over, lambda: client.get(self.page, headers=JSON))
                if card and (assignment := card.json()["assignment"]):
                    self.answer(client, assignment, over)

    def answer(self, client: httpx.Client, assignment: int, over: threading.Event) -> None:
        """Store an answer, sometimes twice; acknowledged ones go into the ledger."""
        key = uuid4()
        form = {
            "assignment": assignment,
            "choice": self.chance.randint(0, 7),
            "client_id": str(key),
            "csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME],
        }
        self.ledger.add("sent", key)
        for _ in range(2 if self.chance.random() < REPLAYED else 1):
            if self.insist(over, lambda: client.post(self.page, data=form, headers=JSON)):
                self.ledger.add("stored", key)

    def insist(
        self, over: threading.Event, act: Callable[[], httpx.Response]
    ) -> httpx.Response | None:
        """Try until it works; None when it is over before."""
        while True:
            try:
                response = act()
                if response is not None:
                    response.raise_for_status()
                return response
            except BUSY as error:
                self.ledger.count(told(error))
                if over.wait(0.2):
                    return None


def told(error: Exception) -> str:
    """A program that was killed leaves its requests without an answer; one that errs gives it."""
    if not isinstance(error, httpx.HTTPStatusError) or not error.response.is_server_error:
        return "requests_failed"
    if error.response.status_code == FULL_DISK.status:
        return "disk_full"
    waits = error.response.status_code == AWAY.status and "atabase" in error.response.text
    return "told_to_wait" if waits else "server_errors"
