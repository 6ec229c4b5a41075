"""What a dead worker left goes on as soon as somebody knows for certain that it is dead."""

import subprocess
import sys

import pytest

from tests.factories import a_run, a_worker, again
from tests.webapp.machine.test_processes import CODE
from webapp.jobs import execution as jobs
from webapp.jobs import tend as jobs_tend
from webapp.jobs.models import Job
from webapp.runs import execution, recovery
from webapp.runs.models import Run


@pytest.fixture
def dead():
    """The name of a process that was killed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", CODE], text=True, **pipes) as process:
        name = process.stdout.readline().strip()
        process.kill()
    return name


@pytest.fixture
def claimed(project, monkeypatch):
    """A function that gives a run in the hands of the process of this name."""

    def claim(name):
        run = a_run(project)
        with monkeypatch.context() as another:
            another.setattr("webapp.machine.processes.own_name", lambda: name)
            return execution.claim(run.queue, a_worker())

    return claim


def test_a_run_whose_worker_is_known_to_be_dead_goes_on_at_once(claimed, dead):
    run = claimed(dead)
    assert recovery.recover() == 1
    assert (again(run).state, again(run).reason) == ("queued", "worker_lost")
    assert "killed" in again(run).message
    assert Run.objects.claimable(run.queue).exists()


@pytest.mark.parametrize("name", ["", "another machine pid:[1]/1/1"])
def test_a_run_of_whose_worker_nothing_is_known_waits_for_its_lease(claimed, name):
    run = claimed(name)
    assert recovery.recover() == 0
    assert again(run).state == "starting"


def test_a_run_whose_worker_lives_is_its_own(project):
    run = a_run(project)
    execution.claim(run.queue, a_worker())
    assert recovery.recover() == 0
    assert again(run).state == "starting"


def test_what_is_known_of_one_epoch_says_nothing_of_the_next(claimed, dead):
    run = claimed(dead)
    Run.objects.filter(pk=run.pk).update(epoch=2)  # a worker has it again
    assert recovery.recover() == 0


def test_a_job_whose_worker_is_known_to_be_dead_is_anybodys(project, dead):
    job = Job.objects.create(project=project, kind="preview", key="k")
    jobs.claim(job.pk)
    assert jobs_tend.release_left_jobs() == 0  # we live
    assert jobs.claim(job.pk) is None
    Job.objects.filter(pk=job.pk).update(holder=dead)
    assert jobs_tend.release_left_jobs() == 1
    assert jobs.claim(job.pk).attempts == 2
