"""The labelling queue over HTTP: what a request costs, how many a second, and that no rule is bent.

A fifth of the leases is abandoned (and aged as if ten minutes had passed), a tenth of the answers is
sent twice. CPU is the user and system time of all web and database processes per request, beside that of the barest
view (`bare_label`) in the same run. `--own` is the share of tasks, those that come first, that who asks has labelled.
"""

import json
import math
import random
import statistics
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from benchmarks.processes import cpu_seconds
from tests import ground
from tests.factories import a_project, a_user, an_artifact, new_prompt
from tests.stack import Stack
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.demo.annotators import JSON, Login, answers_to, sign_in
from webapp.labeling.composition import CONVERSE
from webapp.labeling.exchanges import Exchange
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.models import Assignment, Completion, Cursor, Label, Task
from webapp.labeling.services import Ask, create_tasks
from webapp.projects.models import Project
from webapp.site.bulk import insert_rows

KIND = "compare"
HTMX = {"HX-Request": "true"}
STORED_AT_ONCE = 5000
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


FIRST_OF_ALL = "SELECT id FROM labeling_task ORDER BY priority, key LIMIT %s"
LABELLED = """
    labeling_assignment held JOIN labeling_task ON labeling_task.id = task_id WHERE annotator_id = %s
"""
UUIDS = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}
COUNTED = f"UPDATE labeling_task SET taken = %s, done = %s WHERE id IN ({FIRST_OF_ALL})"


class Annotator:
    """A person at a browser, as HTTP requests."""

    def __init__(self, url: str, project: Project, seed: int) -> None:
        login = Login(f"annotator-{seed}", uuid4().hex, seed)
        self.user = a_user(
            project, Role.ANNOTATOR, username=login.username, password=login.password
        )
        self.chance = random.Random(seed)
        self.client = httpx.Client(base_url=url, timeout=60)
        self.page = f"/p/{project.pk}/label/"
        sign_in(self.client, login)
        self.seed = seed
        self.card: int | None = None
        self.shown: dict[str, Any] = {}

    def next(self) -> int | None:
        """Ask for a card."""
        return self._read(self.client.get(self.page, headers=JSON))

    def submit(self) -> None:
        """Answer the card; the answer's answer is the next one."""
        form = self._form(self._answer(self.shown["kind"]))
        for _ in range(2 if self.chance.random() < REPLAYED else 1):
            self._read(self.client.post(self.page, data=form, headers=JSON))

    def _answer(self, kind: str) -> Mapping[str, object]:
        if kind == KIND:
            return {"choice": self.chance.randint(0, 7)}
        if kind == CONVERSE:
            lead(self.card or 0)
            return {"ended": "yes"}
        return next(answers_to([self.shown], self.seed))

    def floor(self) -> None:
        """Send as much to the barest view."""
        form = self._form({"choice": 1})
        self.client.post(
            self.page.replace("/label/", "/floor/"), data=form, headers=HTMX
        ).raise_for_status()

    def abandon(self) -> None:
        """Walk away: the lease is made as old as it will be when nobody comes back."""
        past = timezone.now() - timedelta(seconds=1)
        Assignment.objects.filter(pk=self.card, state="leased").update(lease_until=past)
        self.card = None

    def _read(self, response: httpx.Response) -> int | None:
        self.shown = response.raise_for_status().json()
        self.card = self.shown["assignment"]
        return self.card

    def _form(self, answer: Mapping[str, object]) -> dict[str, object]:
        named = {"assignment": self.card, "client_id": str(uuid4())}
        token = {"csrfmiddlewaretoken": self.client.cookies[settings.CSRF_COOKIE_NAME]}
        return {**answer, **named, **token}


def lead(assignment: int) -> None:
    """Store a turn of a conversation as models and its leader leave it, past the pages: what is measured is its end."""
    held = Assignment.objects.select_related("task").get(pk=assignment)
    if held.exchanges.exists():
        return
    columns = {"prompt_id": held.task.prompt_id, "source": "model"}
    left, right = (
        Completion.every.create(text=side, key=f"led-{held.pk}-{side}", **columns)
        for side in ("left", "right")
    )
    prompt = {"prompt_id": held.task.prompt_id}
    Exchange.objects.create(assignment=held, number=1, left=left, right=right, choice=2, **prompt)


def size_of(kind: str) -> int:
    """How many answers its tasks are about here: two, where it lets us choose."""
    sizes = TASK_KINDS[kind].items
    return max(sizes[0], min(sizes[-1], 2))


def some_tasks(
    project: Project, number: int, folder: Path, kind: str = KIND, overlap: int = 0
) -> None:
    """Tasks about answers of several models, queued; without an overlap a quarter of them asks two people."""
    models = [an_artifact(project, folder, name=f"model {place}") for place in range(size_of(kind))]
    for start in range(0, number, STORED_AT_ONCE):
        _store_tasks(project, min(STORED_AT_ONCE, number - start), models, kind, overlap or 1)
    if not overlap:
        first = Task.objects.order_by("key")[: number // 4]
        Task.objects.filter(pk__in=first).update(need=2)


def _store_tasks(
    project: Project, number: int, models: Sequence[Artifact], kind: str, need: int
) -> None:
    """So many tasks, each about an answer of each model."""
    of_a_prompt = PAIRS if models else 1
    prompts = [new_prompt(project) for _ in range(math.ceil(number / of_a_prompt))]
    insert_rows(prompts)
    answers = [
        Completion(
            prompt=prompt,
            text=f"Answer {place} of {model.name}.",
            source="model",
            model=model,
            key=f"{model.name}-{place}",
        )
        for prompt in prompts
        for place in range(of_a_prompt)
        for model in models
    ]
    insert_rows(answers)
    size = len(models)
    asks = [
        Ask(prompts[place // of_a_prompt].pk, answers[place * size : (place + 1) * size])
        for place in range(number)
    ]
    create_tasks(project, kind, asks, need=need)


def label_before(people: list[User], number: int) -> None:
    """Labels of these people for as many tasks, those that come first."""
    now, uuid = "CURRENT_TIMESTAMP", UUIDS[connection.vendor]
    with transaction.atomic(), connection.cursor() as cursor:
        for slot, person in enumerate(people):
            held = {"task_id": "id", "annotator_id": person.pk, "slot": slot, "lease_until": now}
            first = f"({FIRST_OF_ALL}) first"
            _insert(Assignment, held | {"state": "'submitted'"}, first, [number])
            given = {name: name for name in ("task_id", "project_id", "annotator_id")}
            given |= {"assignment_id": "held.id", "client_id": uuid, "answer": "'{}'"}
            _insert(Label, given | {"verdict": "'0>1'", "counted": "true"}, LABELLED, [person.pk])
        cursor.execute(COUNTED, [len(people), len(people), number])
        _lead_past(people, number)


def _lead_past(people: list[User], number: int) -> None:
    """Let the queue have led them so far, as each label would have; else a first claim walks over all that they labelled."""
    in_order = Task.every.order_by("priority", "key").values("project_id", "priority", "key")
    place = in_order[number - 1]
    Cursor.objects.bulk_create(
        Cursor(annotator=person, seen=timezone.now(), **place) for person in people
    )


def _insert(
    model: type[Model], given: Mapping[str, object], source: str, values: Sequence[int]
) -> None:
    """Write a row of the model for each that SQL finds: these columns as SQL says, all others by their defaults."""
    fields = [one for one in model._meta.concrete_fields if not one.primary_key]
    fields = [one for one in fields if one.attname in given or not one.has_db_default()]
    columns = ", ".join(f'"{one.column}"' for one in fields)
    shown = ", ".join(str(given.get(one.attname, "%s")) for one in fields)
    defaults = [
        one.get_db_prep_save(one.get_default(), connection)
        for one in fields
        if one.attname not in given
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {model._meta.db_table} ({columns}) SELECT {shown} FROM {source}",
            [*defaults, *values],
        )


def cost(
    pids: list[int], people: list[Annotator], act: Callable[[Annotator], None], block: int = BLOCK
) -> float:
    """CPU of one request in ms: the median of blocks, people taking turns."""
    turns, blocks = cycle(people), []
    for _ in range(BLOCKS):
        before = cpu_seconds(pids)
        for _ in range(block):
            act(next(turns))
        blocks.append((cpu_seconds(pids) - before) / block * 1000)
    return round(statistics.median(blocks), 2)


def ask_floor(person: Annotator) -> None:
    """The floor of `answer`."""
    if person.card is None:
        person.next()
    person.floor()


def come_back(person: Annotator) -> None:
    """Come back to a card whose lease has run out: it is leased anew. A task is chosen by who submits."""
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
    """Label for so long, sometimes walking away; an answer's answer is the next card, as it is on a page."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (person.card or person.next()) is not None:
        if person.chance.random() < ABANDONED:
            person.abandon()
        else:
            person.submit()
    connection.close()


def work_at_floor(person: Annotator, seconds: float) -> int:
    """Send answers to the barest view for so long; how many it stored: its writers do not wait in turn on SQLite."""
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with suppress(httpx.HTTPStatusError):
            ask_floor(person)
            sent += 1
    connection.close()
    return sent


def together(
    people: list[Annotator], act: Callable[[Annotator, float], Any], seconds: float
) -> list[Any]:
    """What comes of it when all do something at once for so long."""
    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(lambda person: act(person, seconds), people))


def left_shares() -> dict[str, float]:
    """How often each model's answer stood left."""
    total = Label.objects.count()
    labels = Label.objects.select_related("task").prefetch_related("task__items__completion__model")
    left = Counter(label.shown[0].model.name for label in labels.iterator(1000))
    return {name: round(number / total, 4) for name, number in left.items()}


def measure(stack: Stack, project: Project, options: Namespace) -> dict[str, object]:
    """All figures."""
    people = [Annotator(stack.url, project, seed) for seed in range(options.annotators)]
    pids = [stack.running["web"].pid, *ground.database_pids()]
    asking, own = people, round(options.own * options.tasks)
    if own:
        asking = people[: options.overlap - 1]
        label_before([person.user for person in asking], own)
        settle()
    block = min(BLOCK, (options.tasks - own) * len(asking) // (2 * BLOCKS))
    costs = {"cpu_ms_next": cost(pids, asking, come_back, block)}
    for person in people:
        person.card = None
    costs["cpu_ms_submit"] = cost(pids, asking, answer, block)
    costs["floor_cpu_ms"] = cost(pids, asking, ask_floor, block)
    floors = sum(together(people, work_at_floor, options.seconds)) / options.seconds
    Label.every.filter(retracted=True).delete()  # the floor's
    both = costs["cpu_ms_next"] + costs["cpu_ms_submit"]
    costs["vs_floor"] = round(both / costs["floor_cpu_ms"], 2)
    before, started = Label.objects.count(), time.perf_counter()
    with watched() as seen:
        together(people, work, options.seconds)
    rate = (Label.objects.count() - before) / (time.perf_counter() - started)
    rates = {"labels_per_s": round(rate, 1), "rate_vs_floor": round(rate / floors, 2)}
    told = {"over_served": max(seen), "looks": len(seen)} | rates
    return told | costs | (sides() if size_of(options.kind) == 2 and not own else {})


def sides() -> dict[str, object]:
    """Whether each of two models stands first as often."""
    labels, shares = Label.objects.count(), left_shares()
    margin = 1.96 * math.sqrt(0.25 / labels)
    fair = all(abs(share - 0.5) <= margin for share in shares.values())
    return {"labels": labels, "left_share": shares, "left_share_fair": fair}


def settle() -> None:
    """Let the database know what is there, as autovacuum does within a minute of an import."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def main() -> int:
    """Parse, measure, print the figures; 0 when no rule was bent."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--annotators", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20, help="of everybody labelling at once")
    parser.add_argument("--kind", choices=list(TASK_KINDS), default=KIND)
    parser.add_argument("--overlap", type=int, default=0, help="labels of each task; 0: mixed")
    parser.add_argument("--own", type=float, default=0.0, help="from 0 to below 1")
    options = parser.parse_args()
    if options.own and options.overlap < 2:
        parser.error("--own needs --overlap 2 or more: a place is left to who asks")
    project = a_project()
    some_tasks(project, options.tasks, Path(settings.VAR), options.kind, options.overlap)
    settle()
    with Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack:
        stack.settings = "benchmarks.web_settings"
        figures = measure(stack.web(), project, options)
    print(json.dumps(vars(options) | figures))
    return 0 if not figures["over_served"] and figures.get("left_share_fair", True) else 1


if __name__ == "__main__":
    sys.exit(main())
