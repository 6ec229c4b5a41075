"""What goes from the disk, what stays, and a run that finds no room."""

import os
import time
from collections import namedtuple
from pathlib import Path

import pytest

from alignment.kinds.pretrain.settings import PretrainConfig
from tests.factories import a_run, run_at
from webapp.runs import keeping
from webapp.runs.errors import RunError
from webapp.runs.models import Checkpoint, Run, State
from webapp.runs.services import Order, start_run
from webapp.site.clock import after

DAY = 86_400


@pytest.fixture
def store(settings, var):
    place = Path(settings.STORE)
    place.mkdir(parents=True, exist_ok=True)
    return place


def a_checkpoint(run, store, step=1):
    path = store / "runs" / str(run.pk) / "e1" / f"ckpt-{step:06d}"
    path.mkdir(parents=True)
    (path / "state.json").write_text("{}")
    return Checkpoint.objects.create(
        run=run, epoch=1, step=step, path=str(path.relative_to(store)), bytes=2
    )


def there(checkpoint, store):
    checkpoint.refresh_from_db()
    assert checkpoint.deleted is not (store / checkpoint.path).exists()
    return not checkpoint.deleted


def test_checkpoints_go_a_week_after_their_run_was_over(project, store):
    rows = {
        "old": {"state": State.SUCCEEDED, "ended_at": after(-8 * DAY)},
        "failed": {"state": State.FAILED, "ended_at": after(-8 * DAY)},
        "fresh": {"state": State.SUCCEEDED, "ended_at": after(-6 * DAY)},
        "paused": {"state": State.INTERRUPTED, "ended_at": None},
    }
    made = {name: a_checkpoint(run_at(a_run(project), **row), store) for name, row in rows.items()}
    assert keeping.drop_old_checkpoints() == 2
    kept = [name for name, checkpoint in made.items() if there(checkpoint, store)]
    assert kept == ["fresh", "paused"]
    assert keeping.drop_old_checkpoints() == 0


def test_what_was_torn_goes_after_a_day_and_once_an_hour(store):
    old = [
        store / "runs/1/e1/.tmp-ckpt-1-7",
        store / "blobs/sha256/ab/.tmp-x",
        store / "incoming/y",
    ]
    kept = [store / "runs/1/e1/.tmp-ckpt-2-7", store / "runs/1/e1/ckpt-000001"]
    for path in old + kept:
        path.mkdir(parents=True)
    for path in [*old, kept[1]]:
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    assert keeping.sweep() == 3
    assert [path.exists() for path in old + kept] == [False] * 3 + [True] * 2
    old[0].mkdir()
    os.utime(old[0], (time.time() - 2 * DAY,) * 2)
    assert keeping.sweep() == 0
    os.utime(store / ".swept", (time.time() - 4000,) * 2)
    assert keeping.sweep() == 1


def test_a_run_that_would_fill_the_disk_does_not_start(project, store, settings, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(3 << 30))
    a_checkpoint(a_run(project), store)
    Checkpoint.objects.update(bytes=1 << 30)
    asked = {"kind": "pretrain", "name": "Mine", "config": PretrainConfig()}
    settings.DISK_RESERVE_GIB = 1.0
    start_run(project, Order(**asked, key="fits"))
    settings.DISK_RESERVE_GIB = 1.5
    with pytest.raises(RunError, match=r"3.2 GB are free .* may need 3.8 GB"):
        start_run(project, Order(**asked, key="does not"))
    assert not Run.objects.filter(idempotency_key="does not").exists()
