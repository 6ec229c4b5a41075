"""The labelling queue over HTTP: what a request costs, how many a second, and that no rule is bent.

A fifth of the leases is abandoned (and aged as if ten minutes had passed), a tenth of the answers is
sent twice. CPU is the user and system time of all web and database processes per request.
"""

import json
import math
import random
import statistics
import sys
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import httpx
from django.conf import settings
from django.db import connection
from django.utils import timezone

from benchmarks.processes import cpu_seconds
from tests import ground
from tests.factories import a_project, a_user, an_artifact, compare, some_prompts
from tests.stack import Stack
from webapp.accounts.roles import Role
from webapp.demo.annotators import JSON, Login, sign_in
from webapp.labeling.models import Assignment, Completion, Label, Task
from webapp.projects.models import Project

ABANDONED, REPLAYED = 0.2, 0.1
BLOCKS, BLOCK = 5, 200
PAIRS = 10  # tasks of one prompt
WATCHED_EVERY = 0.05  # seconds
OVER_SERVED = """
    SELECT count(*) FROM (
        SELECT task_id FROM (
            SELECT task_id FROM labeling_assignment WHERE state = 'leased'
            UNION ALL SELECT task_id FROM labeling_label WHERE counted
        ) held JOIN labeling_task ON labeling_task.id = task_id
        GROUP BY task_id, need HAVING count(*) > need
    ) over_served
"""


class Annotator:
    """A person at a browser, as HTTP requests."""

    def __init__(self, url: str, project: Project, seed: int) -> None:
        login = Login(f"annotator-{seed}", uuid4().hex, seed)
        a_user(project, Role.ANNOTATOR, username=login.username, password=login.password)
        self.chance = random.Random(seed)
        self.client = httpx.Client(base_url=url, timeout=60)
        self.page = f"/p/{project.pk}/label/"
        sign_in(self.client, login)
        self.card: int | None = None

    def next(self) -> int | None:
        """Ask for a card."""
        return self._read(self.client.get(self.page, headers=JSON))

    def submit(self) -> None:
        """Answer the card; the answer's answer is the next one."""
        form = {
            "assignment": self.card,
            "choice": self.chance.randint(0, 7),
            "client_id": str(uuid4()),
            "csrfmiddlewaretoken": self.client.cookies[settings.CSRF_COOKIE_NAME],
        }
        for _ in range(2 if self.chance.random() < REPLAYED else 1):
            self._read(self.client.post(self.page, data=form, headers=JSON))

    def abandon(self) -> None:
        """Walk away: the lease is made as old as it will be when nobody comes back."""
        past = timezone.now() - timedelta(seconds=1)
        Assignment.objects.filter(pk=self.card, state="leased").update(lease_until=past)

    def _read(self, response: httpx.Response) -> int | None:
        self.card = response.raise_for_status().json()["assignment"]
        return self.card


def some_tasks(project: Project, number: int, folder: Path) -> None:
    """Pairs of answers of two models, queued."""
    models = [an_artifact(project, folder, name=name) for name in ("one", "other")]
    prompts = some_prompts(project, math.ceil(number / PAIRS))
    answers = Completion.objects.bulk_create(
        Completion(
            prompt=prompt,
            text=f"Answer {place} of {model.name}.",
            source="model",
            model=model,
            key=f"{model.name}-{place}",
        )
        for prompt in prompts
        for place in range(PAIRS)
        for model in models
    )
    pairs = list(zip(answers[::2], answers[1::2], strict=True))[:number]
    compare(project, pairs, need=1)
    Task.objects.filter(pk__in=Task.objects.order_by("key")[: number // 4]).update(need=2)


def cost(pids: list[int], people: list[Annotator], act: Callable[[Annotator], None]) -> float:
    """CPU of one request in ms: the median of blocks, people taking turns."""
    turns, blocks = cycle(people), []
    for _ in range(BLOCKS):
        before = cpu_seconds(pids)
        for _ in range(BLOCK):
            act(next(turns))
        blocks.append((cpu_seconds(pids) - before) / BLOCK * 1000)
    return round(statistics.median(blocks), 2)


def claim_afresh(person: Annotator) -> None:
    """The dearest way to a card: another's lease is given back, a task is chosen and leased."""
    person.next()
    person.abandon()


def answer(person: Annotator) -> None:
    """Submit, which hands out the next card too."""
    if person.card is None:
        person.next()
    person.submit()


@contextmanager
def watched(every: float = WATCHED_EVERY) -> Iterator[list[int]]:
    """Look at all tasks every so many seconds, on a connection of our own; the numbers of those held too often."""
    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.wait(every):
            with connection.cursor() as cursor:
                cursor.execute(OVER_SERVED)
                seen.append(cursor.fetchone()[0])
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def work(person: Annotator, seconds: float) -> None:
    """Label for so long, sometimes walking away."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and person.next() is not None:
        if person.chance.random() < ABANDONED:
            person.abandon()
        else:
            person.submit()
    connection.close()


def left_shares() -> dict[str, float]:
    """How often each model's answer stood left."""
    total = Label.objects.count()
    labels = Label.objects.select_related("task").prefetch_related("task__items__completion__model")
    left = Counter(label.shown[0].model.name for label in labels.iterator(1000))
    return {name: round(number / total, 4) for name, number in left.items()}


def measure(stack: Stack, project: Project, annotators: int, seconds: float) -> dict[str, object]:
    """All figures."""
    people = [Annotator(stack.url, project, seed) for seed in range(annotators)]
    pids = [stack.running["web"].pid, *ground.database_pids()]
    fresh = cost(pids, people, claim_afresh)
    for person in people:
        person.card = None
    submits = cost(pids, people, answer)
    before, started = Label.objects.count(), time.perf_counter()
    with watched() as seen, ThreadPoolExecutor(annotators) as pool:
        list(pool.map(lambda person: work(person, seconds), people))
    rate = (Label.objects.count() - before) / (time.perf_counter() - started)
    labels, shares = Label.objects.count(), left_shares()
    margin = 1.96 * math.sqrt(0.25 / labels)
    return {
        "over_served": max(seen),
        "looks": len(seen),
        "cpu_ms_next": fresh,
        "cpu_ms_submit": submits,
        "labels_per_s": round(rate, 1),
        "labels": labels,
        "left_share": shares,
        "left_share_fair": all(abs(share - 0.5) <= margin for share in shares.values()),
    }


def main() -> int:
    """Parse, measure, print the figures; 0 when no rule was bent."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20, help="of everybody labelling at once")
    options = parser.parse_args()
    project = a_project()
    some_tasks(project, options.tasks, Path(settings.VAR))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute of an import
    with Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack:
        figures = measure(stack.web(), project, options.annotators, options.seconds)
    given = {"database": options.database, "tasks": options.tasks, "annotators": options.annotators}
    print(json.dumps(given | figures))
    return 0 if not figures["over_served"] and figures["left_share_fair"] else 1


if __name__ == "__main__":
    sys.exit(main())
