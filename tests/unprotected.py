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

    submit = services.submit_label

    def submit_label(assignment, *, client_id, **answer):
        known = Label.objects.filter(client_id=client_id).exists()
        return submit(assignment, client_id=uuid4() if known else client_id, **answer)

    services.submit_label = submit_label


def places() -> None:
    """A place is looked at, but not taken."""
    from webapp.labeling import queue

    queue.take_place = lambda task: task.taken < task.need


def immediate() -> None:
    """A transaction of SQLite's asks for its lock when it first writes: too late to wait for it."""
    from django.db import connection

    connection.settings_dict["OPTIONS"]["transaction_mode"] = "DEFERRED"


def keeper() -> None:
    """What ends is not started again."""
    from webapp.machine.keeper import Keeper

    Keeper.keep = lambda _: None


PROTECTIONS: dict[str, Callable[[], None]] = {
    "epoch": epoch,
    "client_id": client_id,
    "places": places,
    "immediate": immediate,
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
