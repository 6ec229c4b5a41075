"""A program that asks the interface, in this process."""

import json
from typing import NamedTuple

from django.http import HttpResponse

from tests.webapp.addresses import client_with
from webapp.accounts.models import User

ROOT = "/api/v1"


class Program(NamedTuple):
    """Its token, and whom it acts for."""

    token: str
    person: User | None = None

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> HttpResponse:
        """The answer; names of headers are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        content = b"" if body is None else json.dumps(body).encode()
        client = client_with(None)
        return client.generic(method, ROOT + path, content, "application/json", headers=sent)

    def get(self, path: str, **headers: str) -> HttpResponse:
        """What is there."""
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> HttpResponse:
        """What comes of sending something."""
        return self.ask("POST", path, {} if body is None else body, **headers)
