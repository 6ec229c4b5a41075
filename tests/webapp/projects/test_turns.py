"""The first turn of a project's loop: each step becomes done, and the page follows while anything moves."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import (
    a_label,
    a_run,
    a_user,
    again,
    an_artifact,
    run_at,
    some_labels,
    some_prompts,
    some_tasks,
)
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.home.queries import facts
from webapp.home.turns import QUIET, first_turn, is_moving, newest_runs
from webapp.labeling.models import Label
from webapp.projects.models import Project, Prompt, Split
from webapp.rounds.config import PRESETS, RoundConfig
from webapp.rounds.services import start_round
from webapp.runs.models import State

pytestmark = pytest.mark.once  # of what there is, not of who counts it
POLLS = 'hx-trigger="every 2s"'


def turn(project):
    return first_turn(project, facts(project), newest_runs(project))


def states(project):
    return {step.name: step.state for step in turn(project)}


def moves(project):
    return is_moving(project, facts(project))


def test_the_newest_label_is_found_without_a_look_at_tasks(project, old):
    with CaptureQueriesContext(connection) as asked:
        assert not moves(old)
    assert "labeling_task" not in asked.captured_queries[-1]["sql"]


@pytest.fixture
def old(project):
    """A project that nobody has touched for a while."""
    Project.objects.filter(pk=project.pk).update(created_at=timezone.now() - 2 * QUIET)
    return again(project)


@pytest.fixture
def round_(old, var):
    some_prompts(old, 8, split=Split.TEST)
    tasks = some_tasks(old, 48)
    Prompt.objects.filter(tasks__in=tasks).update(split=Split.TRAIN)
    some_labels(tasks)
    Label.objects.update(created_at=timezone.now() - 2 * QUIET)
    asked = PRESETS["quick"].config
    evaluated = asked.evaluate.model_copy(update={"judge": "none"})
    config = asked.model_copy(update={"evaluate": evaluated})
    policy = an_artifact(old, var)
    return start_round(snapshot=freeze_snapshot(old), policy=policy, config=config, key="first")


def test_all_of_an_empty_project_is_to_come(project):
    names = ("prompts", "model", "answers", "labels", "snapshot")
    names += ("reward", "align", "evaluate", "generate")
    assert states(project) == dict.fromkeys(names, "pending")


def test_a_step_is_what_its_run_is(project, var):
    some_prompts(project, 2)
    run = a_run(project, "pretrain")
    assert states(project)["prompts"] == "done"
    for state, shown in [
        (State.QUEUED, "pending"),
        (State.STARTING, "running"),
        (State.RUNNING, "running"),
        (State.FAILED, "failed"),
        (State.CANCELLED, "cancelled"),
    ]:
        run_at(run, state=state)
        assert states(project)["model"] == shown
    run_at(a_run(project, "pretrain", key="again"), state=State.RUNNING)
    assert states(project)["model"] == "running"  # the newest counts
    an_artifact(project, var)
    assert states(project)["model"] == "done"


def test_labels_are_under_way_until_they_are_frozen(project, var):
    tasks = some_tasks(project, 3)
    assert (states(project)["answers"], states(project)["labels"]) == ("done", "pending")
    a_label(tasks[0])
    (step,) = [step for step in turn(project) if step.name == "labels"]
    assert (step.state, step.done, step.total) == ("running", 1, 3)
    freeze_snapshot(project)
    assert (states(project)["labels"], states(project)["snapshot"]) == ("done", "done")


def test_the_runs_of_the_round_are_its_steps(round_):
    run_at(round_.parts.get(part="reward").run, state=State.SUCCEEDED)
    run_at(round_.parts.get(part="align").run, state=State.RUNNING)
    found = states(round_.project)
    assert (found["reward"], found["align"], found["evaluate"]) == ("done", "running", "pending")


def test_the_second_turn_has_no_steps(round_):
    start_round(
        snapshot=round_.snapshot,
        policy=round_.policy,
        config=RoundConfig.model_validate(round_.config),
        key="second",
    )
    assert turn(round_.project) == []


def test_a_page_follows_while_a_run_is_under_way_and_shortly_after(old):
    assert not moves(old)
    run = run_at(a_run(old, "pretrain"), state=State.RUNNING)
    assert moves(old)
    run_at(run, state=State.SUCCEEDED, ended_at=timezone.now())
    assert moves(old)  # what follows may be about to start
    run_at(run, ended_at=timezone.now() - 2 * QUIET)
    assert not moves(old)
    label = a_label(some_tasks(old)[0])
    assert moves(old)
    Label.objects.filter(pk=label.pk).update(created_at=timezone.now() - 2 * QUIET)
    assert not moves(old)


def test_a_round_is_followed_to_its_end(round_):
    assert moves(round_.project)
    round_.runs.update(state=State.SUCCEEDED, ended_at=timezone.now() - 2 * QUIET)
    assert not moves(round_.project)


def test_the_page_asks_for_what_changes_alone_and_ends_when_it_is_over(old, client):
    client.force_login(a_user(old))
    run = run_at(a_run(old, "pretrain"), state=State.RUNNING, phase="training")
    here = reverse("project", args=[old.pk])
    assertContains(client.get(here), POLLS)
    fragment = client.get(here, headers={"HX-Request": "true"})
    assertContains(fragment, "training")
    assertNotContains(fragment, "<html")
    run_at(run, state=State.SUCCEEDED, ended_at=timezone.now() - 2 * QUIET)
    assertNotContains(client.get(here), POLLS)


def test_an_annotators_home_rests(project, client):
    client.force_login(a_user(project, Role.ANNOTATOR))
    assertNotContains(client.get(reverse("project", args=[project.pk])), POLLS)
