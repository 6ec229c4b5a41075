"""A machine that slept, and a web program that was killed: by real programs."""

import pytest
from django.db import connection, transaction

from tests.factories import a_run, again
from tests.stand_in import WAIT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


@pytest.mark.slow
def test_a_machine_that_slept_comes_back_fenced_and_its_run_says_so(
    stack, transactional_db, project
):
    stack.stand_in().broker().worker().tend()
    run = a_run(project, seed=WAIT)
    stack.until(lambda: again(run).step >= 1)
    freeze_where_it_hurts(stack)
    lost = run.events.filter(to_state="interrupted")
    stack.until(lost.exists)
    stored = run.metrics.count()
    stack.thaw("worker")
    log = stack.var / "worker.log"
    stack.until(lambda: f"run {run.pk}: epoch 1 is no longer ours" in log.read_text())
    assert "its machine slept" in lost.get().message
    assert run.metrics.filter(epoch=1).count() == stored


def freeze_where_it_hurts(stack):
    """Stop the worker while it holds the run's row; SQLite has no rows to hold, only everything."""
    if connection.vendor == "sqlite":
        stack.freeze_between_transactions("worker")
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE runs_runmetric IN EXCLUSIVE MODE")  # it has the row by then
        stack.until(lambda: waiting(cursor))
        stack.freeze("worker")


def waiting(cursor):
    """How many sessions wait for a lock."""
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return cursor.fetchone()[0]
