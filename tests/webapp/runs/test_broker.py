"""What a run says of a broker that is away, and no longer says of one that is back."""

import pytest

from tests.factories import a_run
from webapp.runs.tasks import send_ring
from webapp.runs.waiting import waiting_reason


def test_a_run_says_that_the_broker_is_away(project):
    run = a_run(project)
    assert not send_ring(run.queue)
    assert "the broker is away" in waiting_reason(run)


@pytest.mark.once
@pytest.mark.stack
def test_a_run_says_no_more_of_a_broker_that_is_back(stack, transactional_db, project):
    run = a_run(project)
    send_ring(run.queue)
    stack.broker()
    assert send_ring(run.queue)
    assert waiting_reason(run) == "no worker is running"
