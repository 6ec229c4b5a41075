"""Answers in conversations as a worker gets them: jobs of live work, done by the program that keeps models in memory."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.factories import a_user, again, tasks_of
from tests.tiny import stored_models
from tests.words import WORDS
from webapp.accounts.roles import Role
from webapp.jobs import execution
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import work
from webapp.labeling import conversations
from webapp.labeling.composition import form_of
from webapp.labeling.conversations import ask_models, ask_once_more, prefer_answer
from webapp.labeling.exchanges import Exchange
from webapp.labeling.models import Completion
from webapp.labeling.queue import claim
from webapp.machine.processes import own_name
from webapp.projects.services import save_composition
from webapp.runs import residents
from webapp.runs.live import answer_live
from webapp.runs.tasks import _recover
from webapp.site.clock import after

pytestmark = pytest.mark.once

ASKS = str(Path(__file__).parents[2] / "forked_trainer.py")


@pytest.fixture
def model(project, tmp_path):
    return stored_models(project, tmp_path)["policy"]


@pytest.fixture
def form(project, model):
    save_composition(project, {"converse": {"models": [model.pk], "max_new_tokens": 4}}, seen=1)
    project.refresh_from_db()
    return form_of(project)


@pytest.fixture
def turn(project, form):
    """The first turn of a conversation, whose answers are asked for."""
    tasks_of(project, "converse", 1, size=0)
    held = claim(project, a_user(project, Role.ANNOTATOR))
    held.task.prompt.messages = [{"role": "user", "content": WORDS[0]}]
    held.task.prompt.save()
    return ask_models(held, "", 0, form)


@pytest.fixture
def resident(trainers, settings):
    """The program is forked where torch is loaded."""
    settings.RESIDENT = [sys.executable, "-I", "-S", ASKS, str(trainers), "answer"]
    yield residents.resident
    residents.end_resident()


def told(turn):
    """How the job of a turn has ended, and what it says."""
    work(turn.job_id)
    job = again(turn.job)
    return job.state, job.message


def end_of(steps):
    """What they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_two_answers_come_to_a_turn_and_then_to_the_next(turn, model, form, resident):
    assert told(turn) == (State.DONE, "")
    first = again(turn)
    assert first.left.text.strip() != first.right.text.strip()
    for one in (first.left, first.right):
        assert (one.model, one.source, one.run, one.prompt) == (model, "model", None, turn.prompt)
        assert one.sampling == {"temperature": 1.0, "max_new_tokens": 4}
        assert one.logps < 0
    prefer_answer(turn.assignment, 6, 1, form)
    Completion.objects.filter(pk=first.right_id).update(text=WORDS[2])  # whatever it was
    second = ask_models(turn.assignment, WORDS[1], 1, form)
    assert told(second) == (State.DONE, "")
    assert again(second).left.prompt.messages[-1] == {"role": "user", "content": WORDS[1]}
    work(second.job_id)  # a doubled message
    assert turn.assignment.exchanges.count() == 2


def test_a_program_that_is_killed_over_a_question_is_started_again(turn, resident, monkeypatch):
    monkeypatch.setattr(residents, "LOOK", 0.01)
    steps = answer_live(turn.job)
    next(steps)
    killed = resident().process
    os.killpg(killed.pid, signal.SIGKILL)
    assert end_of(steps)() == {"kept": 2}
    assert again(turn).is_answered
    assert resident().process is not killed


def test_one_that_ends_again_is_told_of_and_can_be_asked_again(turn, form, settings):
    settings.RESIDENT = [sys.executable, "-c", "raise SystemExit(9)"]
    state, words = told(turn)
    assert (state, words[:40]) == (State.FAILED, "The program that answers ended twice ove")
    turn = ask_once_more(turn.assignment, 1, form)
    assert again(turn.job).state == State.QUEUED


def test_answers_that_take_too_long_are_given_up(turn, resident, settings):
    settings.LIVE_PATIENCE = 0
    assert "did not answer in time" in told(turn)[1]


def test_what_the_model_refuses_is_said(turn, resident):
    turn.prompt.messages = [{"role": "user", "content": " ".join(WORDS * 20)}]
    turn.prompt.save()
    assert "Shorten the prompt" in told(turn)[1]


def test_answers_for_which_nobody_waits_any_more_are_called_off(turn, resident, monkeypatch):
    monkeypatch.setattr(residents, "LOOK", 0.01)
    Exchange.objects.update(seen_at=after(-conversations.GONE - 1))
    assert "Nobody waited" in told(turn)[1]
    conversations.note_waiting(turn)
    assert conversations.is_waited_for(turn)


def test_a_model_that_is_gone_is_said(turn, project):
    turn.job.payload["models"] = [0, 0]
    turn.job.save()
    assert "is gone" in told(turn)[1]


def test_a_worker_that_starts_goes_on_with_what_a_dead_one_left(turn):
    taken = execution.claim(turn.job_id)
    Job.objects.update(holder=f"{own_name().partition('/')[0]}/{2**22 + 1}/1")
    assert execution.claim(turn.job_id) is None
    _recover("live")
    assert execution.claim(turn.job_id).attempts == taken.attempts + 1
