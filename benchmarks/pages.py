"""What the pages of a large installation cost: each in turn with the floor of `bare_label`, one row a page.

The list of pages is the resolver's (`bare` is the frame of every page around two words). A page with more
behind it is measured at its first rows and deep within; filters, forms and polls have rows of their own. CPU
is that of the request's thread, and on PostgreSQL of the process that serves its connection too; kB are of
pages before they are compressed. All is measured at a tenth of the rows, then whole.
"""

import json
import logging
import re
import statistics
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from uuid import uuid4

from django.conf import settings
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alignment.kinds import KINDS
from benchmarks.large import NOTHING, Place, Sizes, a_place, grow
from tests import ground
from tests.webapp.addresses import addresses
from webapp.machine import patience
from webapp.machine.database import share_connections
from webapp.rounds.queries import stamp_of_round
from webapp.runs.waiting import stamp_of_queue
from webapp.site import pages, stamps

TURNS, TENTH = 21, 0.1
BARS = {"poll": 0.2, "cpu": 10, "queries": 30, "kB": 150, "deep": 1.3, "grown": 1.5, "long": 1.2}
HTMX = {"HX-Request": "true"}
FILTERS = {
    "labeling:labels": (
        "show=disagreement",
        "show=extra",
        "show=history",
        "annotator=5",
        "by=people",
    ),
    "quality:disagreements": ("by=everybody", "show=decided"),
    "labeling:tasks": ("state=open", "state=leased", "state=done", "state=skipped", "kind=compare"),
    "prompts": ("q=plus", "q=nowhere", "split=test"),
    "runs:start": tuple(f"kind={name}" for name, kind in KINDS.items() if kind.group),
    "runs:metrics": (),
    "audit": ("person=5", "act=run.ended", "thing=run"),
}
DEEP = 0.9  # of all rows lie before a deep page


class Page(NamedTuple):
    """What is asked for."""

    name: str
    path: str
    headers: Mapping[str, str] = MappingProxyType({})
    form: Mapping[str, object] = MappingProxyType({})  # of a POST


class Row(NamedTuple):
    """What a page costs."""

    cpu: float  # times the barest page's
    ms: float
    queries: int
    kB: float  # noqa: N815 - a unit


def used() -> float:
    """The seconds of CPU that this thread and the processes of our database server have used."""
    return time.thread_time() + sum(map(_served, ground.database_pids()))


def _served(server: int) -> float:
    """What the processes that serve connections have used."""
    spent = 0
    for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres: attune"):
                spent += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    return spent / 1e9


def viewer_of(place: Place) -> Client:
    """The browser of whoever looks."""
    client = Client(SERVER_NAME="localhost", raise_request_exception=False)
    client.force_login(place.viewer)
    return client


@contextmanager
def lists_watched() -> Iterator[list[tuple[QuerySet[Model], tuple[str, ...]]]]:
    """The rows of every list that is drawn meanwhile, with their order."""
    seen, beside = [], pages._beside

    def watch(rows: QuerySet[Model], mark: str, order: tuple[str, ...]) -> list[Model]:
        seen.append((rows, order))
        return beside(rows, mark, order)

    pages._beside = watch
    try:
        yield seen
    finally:
        pages._beside = beside


def paths_of(place: Place, client: Client) -> Iterator[Page]:
    """Every page under its name: first, deep and filtered."""
    for address in addresses():
        if not address.parts <= place.parts.keys() or "floor" in address.name:
            continue  # one-time links and what is done by a POST to a named act
        path = address.of(place.parts)
        for query in ("", *FILTERS.get(address.name, ())):
            with lists_watched() as seen:
                response = client.get(f"{path}?{query}")
            if response.status_code >= 500:
                raise RuntimeError(f"{path}?{query} is broken")
            if response.status_code != 200:
                continue  # it is asked by a POST, or leads elsewhere
            yield Page(f"{address.name} {query}".strip(), f"{path}?{query}")
            if seen and (mark := deep_within(*seen[0])):
                name = f"{address.name} {query}".strip()
                yield Page(f"{name} deep", f"{path}?{query}&after={mark}")


def polls_of(place: Place, client: Client) -> Iterator[Page]:
    """What pages ask again and again while nothing is new, of a run with many points and of one with few."""
    for length, run in (("long", 1), ("short", 2)):
        parts = place.parts | {"run_id": run}
        path = reverse(
            "runs:detail", kwargs={part: parts[part] for part in ("project_id", "run_id")}
        )
        curves = client.get(f"{path}metrics/").json()
        seen = {"Seen": curves["stamp"]}
        asks = f"after={curves['step']}&epoch={curves['epoch']}&width={curves['width']}"
        yield Page(f"poll of a {length} run", path, HTMX | seen)
        yield Page(f"poll of the curves of a {length} run", f"{path}metrics/?{asks}", seen)
        yield Page(f"news of the curves of a {length} run", f"{path}metrics/?{asks}")
    path = reverse("runs:list", args=[place.project.pk])
    yield Page("poll of the runs", path, HTMX | {"Seen": stamp_of_queue(place.project.pk)})
    yield Page("news of the runs", path, HTMX)
    path = reverse("rounds:detail", args=[place.project.pk, place.parts["round_id"]])
    yield Page("poll of a round", path, HTMX | {"Seen": stamp_of_round(1, place.parts["round_id"])})


def deep_within(rows: QuerySet[Model], order: tuple[str, ...]) -> int:
    """A row that most of a list stands before, with a page of rows behind it; 0 where there is no second page."""
    number = rows.count()
    place = min(int(DEEP * number), number - pages.ROWS - 1)
    return rows.order_by(*order)[place].pk if number > 2 * pages.ROWS else 0


def cost(asked: Iterable[Page], client: Client, floor: Page) -> dict[str, Row]:
    """What each page costs, the floor in turn with it."""
    found = {}
    for page in asked:
        spent, floors = [], []
        for _ in range(TURNS):
            spent.append(seconds(client, page))
            floors.append(seconds(client, floor))
        with CaptureQueriesContext(connection) as queries:
            response = client.get(page.path, headers=page.headers)
            is_page = response.get("Content-Type", "").startswith("text/html")
            size = len(response.content) / 1000 if is_page else 0
        middle = statistics.median(spent)
        ratio = middle / statistics.median(floors)
        found[page.name] = Row(
            round(ratio, 2), round(1000 * middle, 1), len(queries), round(size, 1)
        )
    return found


def seconds(client: Client, page: Page) -> float:
    """The CPU of one request that nobody has asked before, of a file until it begins to be sent."""
    stamps._made.clear()
    form = {**page.form, "client_id": uuid4()}
    ask = (
        partial(client.post, data=form) if page.form else partial(client.get, headers=page.headers)
    )
    before = used()
    response = ask(page.path)
    if response.streaming:
        next(iter(response), b"")
    spent = used() - before
    response.close()
    return spent


def download(place: Place, client: Client) -> dict[str, float]:
    """What a whole file of numbers costs."""
    path = reverse("runs:metrics_csv", args=[place.project.pk, 1])
    before = used()
    size = sum(map(len, client.get(path))) / 1e6
    return {
        "csv_MB": round(size, 1),
        "csv_ms_per_MB": round(1000 * (used() - before) / size),
    }


def beyond(name: str, row: Row, whole: dict[str, Row], tenth: dict[str, Row]) -> Iterator[str]:
    """Which bars a page does not meet."""
    first = whole.get(name.removesuffix(" deep"))
    before = tenth.get(name)
    for bar, value in (
        ("cpu", row.cpu),
        ("queries", row.queries),
        ("kB", row.kB),
        ("deep", row.cpu / first.cpu if first else 0),
        ("grown", row.cpu / before.cpu if before else 0),
    ):
        if value > BARS[bar]:
            yield f"{name}: {bar} {value:.2f}"
    if name.startswith("poll") and row.cpu > BARS["poll"]:
        yield f"{name}: cpu {row.cpu:.2f}"
    if "a long run" in name and row.cpu > BARS["long"] * whole[name.replace("long", "short")].cpu:
        yield f"{name}: more than of a short one"


def measure(place: Place, only: str) -> dict[str, Row]:
    """The pages whose names have this pattern in them, as they are now."""
    client = viewer_of(place)
    every = chain(paths_of(place, client), polls_of(place, client))  # each when its turn comes
    asked = (page for page in every if re.search(only, page.name))
    floor = {"assignment": place.card, "choice": 1}
    return cost(asked, client, Page("floor", f"/p/{place.project.pk}/floor/", form=floor))


def main() -> int:
    """Parse, measure, print a row a page; 0 when every bar is met."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of rows")
    parser.add_argument("--only", default="", help="pages whose names have this pattern in them")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    settings.ROOT_URLCONF = "benchmarks.bare"
    patience.ANSWER_WAIT = 600.0  # rows are made by long statements
    connection.close()
    share_connections()  # as a web process does
    whole = Sizes().shrunk(options.scale)
    grow(
        NOTHING, tenth := whole.shrunk(TENTH)._replace(projects=whole.projects, people=whole.people)
    )
    place = a_place()
    small = measure(place, options.only)
    grow(tenth, whole)
    large = measure(place, options.only)
    for name, row in sorted(large.items()):
        grown = row.cpu / small[name].cpu if name in small else 1
        print(f"{name:45} {json.dumps(row._asdict() | {'grown': round(grown, 2)})}")
    failed = [line for name, row in large.items() for line in beyond(name, row, large, small)]
    told = {"database": options.database, "scale": options.scale, "pages": len(large)}
    print(json.dumps(told | download(place, viewer_of(place)) | {"beyond": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
