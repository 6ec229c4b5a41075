"""Takes one protection away from the programs of a chaos run, which must then be seen to fail.

Patched in from outside, by an app of the harness's settings: the product has no such switch.
"""

import os
from collections.abc import Callable
from uuid import uuid4

from django.apps import AppConfig

ENVIRONMENT = "WITHOUT"


def epoch() -> None:
    """A worker may write about any live run, whoever's it has become."""
    from webapp.runs.models import RunQuerySet

    RunQuerySet.mine = lambda runs, run: runs.live().filter(pk=run.pk)


def client_id() -> None:
    """An answer that is sent again is another answer."""
    from webapp.labeling import services
    from webapp.labeling.models import Label

    store = services.store_label

    def store_label(assignment, *, client_id, **answer):
        assignment.stored = None
        known = Label.every.filter(client_id=client_id).exists()
        return store(assignment, client_id=uuid4() if known else client_id, **answer)

    services.store_label = store_label


def places() -> None:
    """A place is looked at, but not taken."""
    from django.db.models import F

    from webapp.labeling import queue
    from webapp.labeling.models import Task

    take = queue._take_next

    def take_next(project, annotator):
        if taken := take(project, annotator):
            Task.every.filter(pk=taken.task_id).update(taken=F("taken") - 1)
        return taken

    queue._take_next = take_next


def keeper() -> None:
    """What ends is not started again."""
    from webapp.machine.keeper import Keeper

    Keeper.keep = lambda _: None


PROTECTIONS: dict[str, Callable[[], None]] = {
    "epoch": epoch,
    "client_id": client_id,
    "places": places,
    "keeper": keeper,
}


class Unprotected(AppConfig):
    """Applies the patch once the models are there."""

    name = "tests"
    label = "unprotected"

    def ready(self) -> None:
        """Take the named protection away, if any."""
        if name := os.environ.get(ENVIRONMENT):
            PROTECTIONS[name]()
