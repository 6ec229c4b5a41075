"""People who label and people who look, as requests of a program of their own: `python -m benchmarks.clients`.

It reads a plan as JSON, acts for so many seconds with a thread for each of them, and prints all that came of it. It
knows of the product only what a browser knows.
"""

import json
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from html import unescape
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

TOKEN = "t" * 32  # of a form: the cookie's own
CARD = re.compile(r'data-assignment="(\d+)"')
ASKS_AGAIN = re.compile(r'hx-get="([^"]*)" hx-trigger="every (\d+)s"[^>]*>')
HEADERS = re.compile(r'hx-headers="([^"]*)"')
PATIENCE = 60  # seconds for an answer
QUIET = (204, 304)  # answers that say that nothing is new


@dataclass
class Answered:
    """What came of one request."""

    what: str  # label, floor, poll, page
    status: int  # 0: none came
    ms: float
    cost: float = 0.0  # ms of the server's processor
    queries: int = 0
    at: float = 0.0  # seconds since the beginning
    name: str = ""  # of an answer to a pair


@dataclass
class Browser:
    """Somebody who is signed in, on one connection that is kept."""

    url: str
    session: str
    cookies: tuple[str, str]  # the names of those of the session and of forms
    begun: float
    found: list[Answered] = field(default_factory=list)
    connection: HTTPConnection | None = None

    def ask(self, what: str, path: str, form: dict[str, object] | None = None, **more: str) -> str:
        """The body of an answer, of which all else is noted."""
        started = time.perf_counter()
        try:
            response, body = self._send(path, form, more)
        except (OSError, HTTPException):
            self._note(Answered(what, 0, 1000 * (time.perf_counter() - started)))
            self.connection = None
            return ""
        ms = 1000 * (time.perf_counter() - started)
        told = response.headers
        costs = {"cost": float(told.get("X-Cost", 0)), "queries": int(told.get("X-Queries", 0))}
        self._note(
            Answered(
                what, response.status, ms, **costs, name=str((form or {}).get("client_id", ""))
            )
        )
        return body

    def _send(
        self, path: str, form: dict[str, object] | None, more: dict[str, str]
    ) -> tuple[HTTPResponse, str]:
        headers = {
            "Cookie": f"{self.cookies[0]}={self.session}; {self.cookies[1]}={TOKEN}",
            "X-CSRFToken": TOKEN,
        }
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        asked = ("GET" if form is None else "POST", path, body, headers)
        try:
            return self._answered(asked)
        except (BrokenPipeError, ConnectionResetError, RemoteDisconnected):
            if self.connection is None:
                raise
            self.connection = None  # it was closed while nothing was asked on it
            return self._answered(asked)

    def _answered(self, asked: tuple[Any, ...]) -> tuple[HTTPResponse, str]:
        here = self.connection or HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        here.request(*asked)
        response = here.getresponse()
        body = response.read().decode()
        self.connection = here
        return response, body

    def _note(self, answered: Answered) -> None:
        answered.at = time.monotonic() - self.begun
        self.found.append(answered)

    @property
    def last(self) -> Answered:
        """What came last."""
        return self.found[-1]


class Person:
    """Labels as the page's script does: sends an answer, and puts the next pair behind those that it has."""

    def __init__(self, browser: Browser, page: str, seed: int) -> None:
        self.browser, self.page = browser, page
        self.chance = random.Random(seed)
        self.cards = CARD.findall(browser.ask("page", page))

    def label(self, **more: str) -> None:
        """Answer the pair that is shown, or ask for some."""
        if not self.cards:
            form: dict[str, object] = {"renew": 1, "have": ""}
            self.cards = CARD.findall(self._ask("page", form, more))
            return
        shown, *behind = self.cards
        body = self._ask("label", self._answer(shown, behind), more)
        if self.browser.last.status == 200:
            self.cards = [*behind, *(one for one in CARD.findall(body) if one not in behind)]

    def floor(self, **more: str) -> None:
        """Send the same to the barest view."""
        if self.cards:
            path = self.page.replace("/label/", "/floor/")
            self.browser.ask(
                "floor",
                path,
                self._answer(self.cards[0], self.cards[1:]),
                HX_Request="true",
                **more,
            )

    def _ask(self, what: str, form: dict[str, object], more: dict[str, str]) -> str:
        return self.browser.ask(what, self.page, form, HX_Request="true", **more)

    def _answer(self, shown: str, behind: list[str]) -> dict[str, object]:
        return {
            "assignment": shown,
            "client_id": str(uuid4()),
            "choice": self.chance.randint(0, 7),
            "visible_ms": 1500,
            "rationale": "",
            "base": 0,
            "page": "benchmark",
            "have": ",".join(behind),
            "shown": behind[0] if behind else "",
        }


class Viewer:
    """Looks at a page and lets it ask again as it says itself."""

    def __init__(self, browser: Browser, page: str) -> None:
        self.browser = browser
        self.due: dict[
            str, tuple[float, float, dict[str, str]]
        ] = {}  # by address: when, every, headers
        self._read(browser.ask("page", page), page)

    def _read(self, body: str, page: str) -> None:
        """What of this asks again, how often, and what it then says of itself."""
        for found in ASKS_AGAIN.finditer(body):
            said = HEADERS.search(found[0])
            headers = json.loads(unescape(said[1])) if said else {}
            every = float(found[2])
            first = time.monotonic() + random.uniform(0, every)
            then = time.monotonic() + every if unescape(found[1]) in self.due else first
            self.due[unescape(found[1]) or page] = (then, every, headers)

    def look(self, until: float) -> None:
        """Ask again whatever is due, in time, until it is over."""
        while self.due:
            path, (when, every, headers) = min(self.due.items(), key=lambda item: item[1][0])
            if when > until:
                return
            time.sleep(max(0.0, when - time.monotonic()))
            self.due[path] = (time.monotonic() + every, every, headers)
            body = self.browser.ask("poll", path, HX_Request="true", **headers)
            if self.browser.last.status not in QUIET:
                self._read(body, path)


def act(plan: dict[str, Any]) -> Iterator[Answered]:
    """All that came of a plan."""
    begun = plan["begun"]
    until = begun + plan["seconds"]
    browsers = [
        Browser(plan["url"], one["session"], plan["cookies"], begun) for one in plan["people"]
    ]
    acts = [
        threading.Thread(target=ACTS[one["does"]], args=(browser, one, plan, until))
        for browser, one in zip(browsers, plan["people"], strict=True)
    ]
    for each in acts:
        each.start()
    for each in acts:
        each.join()
    for browser in browsers:
        yield from browser.found


def labels(browser: Browser, one: dict[str, Any], plan: dict[str, Any], until: float) -> None:
    """Label, with pauses to think."""
    person = Person(browser, one["page"], one["seed"])
    _in_turns([person.label], person, plan["think"], until)


def posts_floor(browser: Browser, one: dict[str, Any], plan: dict[str, Any], until: float) -> None:
    """Post to the floor alone."""
    person = Person(browser, one["page"], one["seed"])
    _in_turns([person.floor], person, plan["think"], until)


def probes(browser: Browser, one: dict[str, Any], plan: dict[str, Any], until: float) -> None:
    """Post to the floor, and label with the statements counted, a few times a second."""
    person = Person(browser, one["page"], one["seed"])
    _in_turns([person.floor, person.floor, lambda: person.label(X_Queries="1")], person, 0.3, until)


def looks(browser: Browser, one: dict[str, Any], plan: dict[str, Any], until: float) -> None:
    """Look at a page."""
    time.sleep(random.uniform(0, plan["warm"]))  # not all open it at once
    Viewer(browser, one["page"]).look(until)


def _in_turns(acts: list[Callable[[], None]], person: Person, think: float, until: float) -> None:
    """One act after the other, each after a pause of about so long."""
    turn = 0
    while True:
        pause = person.chance.uniform(0.5, 1.5) * think
        if time.monotonic() + pause > until:
            return
        time.sleep(pause)
        acts[turn % len(acts)]()
        turn += 1


ACTS = {"labels": labels, "floor": posts_floor, "probes": probes, "looks": looks}


def main() -> None:
    """Act by the plan that comes in."""
    print(json.dumps([asdict(answered) for answered in act(json.load(sys.stdin))]))


if __name__ == "__main__":
    main()
