"""A client of Attune's API in one file, with nothing but the standard library.

    from attune_client import Client

    client = Client("https://attune.example", "attune_…")
    project = client.get("projects")["items"][0]["id"]
    for run in client.list(f"projects/{project}/runs"):
        print(run["name"], run["state"])

What writes is sent with an Idempotency-Key and, where the server is busy or away, sent again: it is done once.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener
from uuid import uuid4

AGAIN = (429, 502, 503, 504, 507)  # statuses of a server that will do it later
BUSY = "busy"  # the kind of a refusal while the same request is being answered
PART = 200  # rows that lists are asked for at once
CHUNK = 1 << 20  # bytes of a download

Answer = dict[str, Any]


class ApiError(Exception):
    """A refusal: its `status`, its `kind`, and what is wrong with which of the `fields`."""

    def __init__(self, status: int, answer: Answer) -> None:
        super().__init__(answer.get("error") or f"The server answers {status}.")
        self.status = status
        self.kind: str = answer.get("kind", "")
        self.fields: dict[str, str] = answer.get("fields", {})


class Unredirected(HTTPRedirectHandler):
    """A token is never sent on to where a server points."""

    def redirect_request(self, *_rest: Any, **_named: Any) -> None:  # noqa: ANN401
        """Nowhere."""
        return


class Client:
    """A server and a token; `tries` is how often something is sent while the server is busy or away."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        tries: int = 5,
        timeout: float = 60.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("The address of the server begins with https:// or http://.")
        self.root = f"{url.rstrip('/')}/api/v1/"
        self.token, self.tries, self.timeout, self.wait = token, tries, timeout, wait
        self.opener = build_opener(Unredirected)

    def get(self, path: str, **query: object) -> Answer:
        """What is at an address."""
        return self._json("GET", path, query)

    def list(self, path: str, **query: object) -> Iterator[Answer]:
        """All items of a list, part by part."""
        cursor: str | None = ""
        while cursor is not None:
            part = self.get(path, **{"limit": PART, **query, "cursor": cursor})
            yield from part["items"]
            cursor = part["next"]

    def post(self, path: str, sent: Mapping[str, Any] | None = None, *, key: str = "") -> Answer:
        """Send something; the same key is the same request."""
        body = json.dumps(dict(sent or {})).encode()
        return self._json("POST", path, {}, body, _headers(key, "application/json"))

    def upload(self, path: str, name: str, file: bytes, *, key: str = "", **fields: str) -> Answer:
        """Send a file with the fields of its form."""
        boundary = uuid4().hex
        body = _form(boundary, name, file, fields)
        kind = f"multipart/form-data; boundary={boundary}"
        return self._json("POST", path, {}, body, _headers(key, kind))

    def download(self, path: str, to: str) -> int:
        """Write the file of a job to a path of this machine; its bytes."""
        written = 0
        with self._open(self._request("GET", path, {})) as answer, open(to, "wb") as file:  # noqa: PTH123
            while chunk := answer.read(CHUNK):
                written += file.write(chunk)
        return written

    def follow(self, path: str, *, every: float = 2.0, states: tuple[str, ...] = ()) -> Answer:
        """Ask for a job or a run until it is over, or in one of these states; what it is then."""
        over = states or ("done", "succeeded", "failed", "cancelled")
        while (found := self.get(path))["state"] not in over:
            self.wait(every)
        return found

    def _json(self, method: str, path: str, query: Mapping[str, object], *sent: Any) -> Answer:  # noqa: ANN401
        with self._open(self._request(method, path, query, *sent)) as answer:
            text = answer.read()
        found: Answer = json.loads(text) if text else {}
        return found

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        given = {name: value for name, value in query.items() if value not in (None, "")}
        url = f"{self.root}{quote(path.strip('/'))}{'?' if given else ''}{urlencode(given)}"
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        return Request(url, body, {**sent, **(headers or {})}, method=method)  # noqa: S310 - http alone

    def _open(self, request: Request) -> Any:  # noqa: ANN401 - an open answer
        """The answer, once the server has one; raises ApiError, or URLError where there is no server."""
        for left in range(self.tries - 1, -1, -1):
            try:
                return self.opener.open(request, timeout=self.timeout)
            except HTTPError as error:
                refused = ApiError(error.code, _read(error))
                if not left or not _is_later(refused):
                    raise refused from None
                self.wait(_seconds(error.headers.get("Retry-After"), self.tries - left))
            except (URLError, HTTPException, OSError):
                if not left:
                    raise
                self.wait(_seconds(None, self.tries - left))
        raise ValueError("At least one try is needed.")


def _headers(key: str, kind: str) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid4().hex, "Content-Type": kind}


def _form(boundary: str, name: str, file: bytes, fields: Mapping[str, str]) -> bytes:
    """A form with a file, as browsers send it."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
    kind = "Content-Type: application/octet-stream\r\n\r\n"
    return "".join([*parts, head, kind]).encode() + file + f"\r\n--{boundary}--\r\n".encode()


def _read(error: HTTPError) -> Answer:
    """What a refusal says, if it is one of ours."""
    try:
        found = json.loads(error.read())
    except (ValueError, OSError, HTTPException):
        return {}
    return found if isinstance(found, dict) else {}


def _is_later(refused: ApiError) -> bool:
    return refused.status in AGAIN or refused.kind == BUSY


def _seconds(said: str | None, tries: int) -> float:
    """How long to wait: as the server says, else longer each time."""
    return float(said) if said and said.isdecimal() else min(30.0, 0.5 * 2.0**tries)
