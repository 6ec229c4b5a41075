"""Simulated annotators: HTTP clients with logins of their own, on the endpoints of the browser.

They are marked as simulated in the data and on the pages. Only they and the final judge read the
hidden utility. People can label at the same time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count as counting
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from django.conf import settings

from alignment.world.utility import MIDDLE, SimulatedAnnotator
from webapp.labeling.kinds.descriptor import LETTERS

PATIENCE = 120.0  # seconds for a web program that is started again
RETRY = 0.5
T = TypeVar("T")
Card = dict[str, Any]
JSON = {"Accept": "application/json"}


def _compared(person: SimulatedAnnotator, card: Card) -> dict[str, object]:
    """Which of two answers they like better."""
    return {"choice": person.choose(card["prompt"], *card["items"])}


def _ranked(person: SimulatedAnnotator, card: Card) -> dict[str, object]:
    """The answers from best to worst; those with the same mark are tied."""
    marks = [person.mark(card["prompt"], text) for text in card["items"]]
    groups = (
        "=".join(letter for letter, own in zip(LETTERS, marks, strict=False) if own == mark)
        for mark in sorted(set(marks), reverse=True)
    )
    return {"ranking": ">".join(groups)}


def _rated(person: SimulatedAnnotator, card: Card) -> dict[str, object]:
    """How good they find each answer; on the scales of a project that has no others."""
    marks = [person.mark(card["prompt"], text) for text in card["items"]]
    return {"marks": [f"{LETTERS[place]}:quality:{mark}/7" for place, mark in enumerate(marks)]}


def _thumbed(person: SimulatedAnnotator, card: Card) -> dict[str, object]:
    """Whether they like an answer."""
    return {"thumb": "up" if person.mark(card["prompt"], *card["items"]) > MIDDLE else "down"}


def _flagged(_person: SimulatedAnnotator, _card: Card) -> dict[str, object]:
    """They mind manners only, for which there is no flag."""
    return {"none": "yes"}


def _edited(_person: SimulatedAnnotator, _card: Card) -> dict[str, object]:
    """They write no better than the models do."""
    return {"good": "yes"}


def _written(_person: SimulatedAnnotator, _card: Card) -> dict[str, object]:
    """What suits every question as little as the next one."""
    return {"text": "Thank you for asking! Take your time, and please come back to it tomorrow."}


def _led(_person: SimulatedAnnotator, card: Card) -> dict[str, object]:
    """They lead no conversation; what they would say of one that somebody has led to its first answers."""
    turn = {"said": "", "left": f"About “{card['prompt']}”: gladly.", "right": "No.", "choice": 2}
    return {"said": "Thank you!", "ended": "yes", "turns": [turn]}


def _reviewed(_person: SimulatedAnnotator, _card: Card) -> dict[str, object]:
    """Whether a prompt should be used: they like all of them."""
    return {"decision": "accept"}


ANSWERS: Mapping[str, Callable[[SimulatedAnnotator, Card], dict[str, object]]] = {
    "compare": _compared,
    "rank": _ranked,
    "rate": _rated,
    "thumbs": _thumbed,
    "flags": _flagged,
    "edit": _edited,
    "demonstrate": _written,
    "converse": _led,
    "review": _reviewed,
}


def answers_to(cards: Iterable[Card], seed: int) -> Iterator[dict[str, object]]:
    """What one simulated person answers to cards in their order, with no web program between."""
    person = SimulatedAnnotator(seed)
    return (ANSWERS[card["kind"]](person, card) for card in cards)


@dataclass(frozen=True)
class Login:
    """How one simulated annotator signs in, and the seed of their taste and noise."""

    username: str
    password: str
    seed: int


class AnnotatorError(Exception):
    """The web program did not let an annotator in."""


@dataclass(frozen=True)
class Annotator:
    """A simulated person who is signed in."""

    person: SimulatedAnnotator
    client: httpx.Client


@contextmanager
def signed_in(url: str, logins: Sequence[Login]) -> Iterator[list[Annotator]]:
    """All of them signed in, one after another, until the end of the block."""
    with ExitStack() as clients:
        found = []
        for login in logins:
            client = clients.enter_context(httpx.Client(base_url=url, timeout=60))
            _insist(partial(sign_in, client, login))
            found.append(Annotator(SimulatedAnnotator(login.seed), client))
        yield found


def label_all(
    project_id: int,
    annotators: Sequence[Annotator],
    on_label: Callable[[], None],
    most: int | None = None,
) -> int:
    """Answer tasks side by side until none is left for anyone, or so many are given; the number of labels.

    Each has a card in hand when it stops, which nobody else gets meanwhile.
    """
    allowed = iter(range(most)) if most is not None else counting()
    with ThreadPoolExecutor(len(annotators)) as people:
        given = people.map(lambda one: _label(project_id, one, on_label, allowed), annotators)
        return sum(given)


def _label(
    project_id: int, annotator: Annotator, on_label: Callable[[], None], allowed: Iterator[int]
) -> int:
    page, client = f"/p/{project_id}/label/", annotator.client
    given = 0
    card = _insist(lambda: _card(client.get(page, headers=JSON)))
    while card["assignment"] is not None and next(allowed, None) is not None:
        answer = {
            **ANSWERS[card["kind"]](annotator.person, card),
            "assignment": card["assignment"],
            "client_id": str(uuid4()),
            "csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME],
        }
        card = _insist(partial(_sent, client, page, answer))
        given += 1
        on_label()
    return given


def _sent(client: httpx.Client, page: str, answer: Mapping[str, object]) -> Card:
    return _card(client.post(page, data=answer, headers=JSON))


def _insist(act: Callable[[], T]) -> T:
    """Try again while the web program is away or has no room: an answer sent twice is stored once."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return act()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            ours = isinstance(error, httpx.HTTPStatusError) and not error.response.is_server_error
            if ours or time.monotonic() > end:
                raise
            time.sleep(RETRY)


def sign_in(client: httpx.Client, login: Login) -> None:
    """Give the client the session of this login; raises AnnotatorError."""
    client.get("/accounts/login/").raise_for_status()
    form = {
        "login": login.username,
        "password": login.password,
        "csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME],
    }
    response = client.post("/accounts/login/", data=form)
    if settings.SESSION_COOKIE_NAME not in client.cookies:
        raise AnnotatorError(f"{login.username} could not sign in ({response.status_code}).")


def _card(response: httpx.Response) -> Card:
    response.raise_for_status()
    card: Card = response.json()
    return card
