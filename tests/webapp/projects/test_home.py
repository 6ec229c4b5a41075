import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import (
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    a_run,
    a_user,
    a_worker,
    an_artifact,
    run_at,
    some_labels,
    some_prompts,
    some_tasks,
)
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.datasets.services import freeze_snapshot
from webapp.home import queries
from webapp.home.queries import FEWEST_LABELS, facts, loop
from webapp.labeling.models import Task
from webapp.projects.models import Membership, Prompt, Split
from webapp.rounds.config import PRESETS
from webapp.rounds.models import RoundRun
from webapp.rounds.services import start_round
from webapp.runs.models import Run, State

pytestmark = pytest.mark.once  # what the page says next depends on counts, not on who counts


def step(project):
    """The node whose turn it is and what it says; every other node says nothing."""
    (node,) = [node for node in loop(project, facts(project)) if node.next]
    return node.name, node.next.action


@pytest.fixture
def prompts(project):
    some_prompts(project, 2, split=Split.TRAIN)
    return some_prompts(project, 8, split=Split.TEST)


@pytest.fixture
def model(project, var):
    return an_artifact(project, var, name="Starter")


def labelled(project, number):
    tasks = some_tasks(project, number)
    Prompt.objects.filter(tasks__in=tasks).update(split=Split.TRAIN)
    some_labels(tasks)


@pytest.fixture
def frozen(project, prompts, model):
    labelled(project, FEWEST_LABELS)
    return freeze_snapshot(project)


@pytest.fixture
def started(project, frozen, model):
    config = PRESETS["quick"].config.model_copy(
        update={"evaluate": PRESETS["quick"].config.evaluate.model_copy(update={"judge": "none"})}
    )
    return start_round(snapshot=frozen, policy=model, config=config, key="first")


def test_an_empty_project_needs_prompts(project):
    assert step(project) == ("labels", "Add prompts")


def test_prompts_without_a_model_need_one(project, prompts):
    assert step(project) == ("tasks", "Train the starter model")


def test_a_model_under_way_is_watched(project, prompts):
    a_run(project)
    assert step(project) == ("tasks", "Watch the run")


def test_a_model_without_tasks_answers_prompts(project, prompts, model):
    assert step(project) == ("tasks", "Answer prompts")


def test_waiting_tasks_are_labelled(project, prompts, model):
    some_tasks(project)
    assert step(project) == ("labels", "Label answers")


def test_enough_labels_are_frozen(project, prompts, model):
    labelled(project, FEWEST_LABELS)
    assert step(project) == ("snapshot", "Freeze a snapshot")


def test_few_labels_need_more_tasks(project, prompts, model):
    labelled(project, FEWEST_LABELS - 1)
    assert step(project) == ("tasks", "Answer prompts")


def test_enough_labels_wait_while_tasks_do(project, prompts, model):
    labelled(project, FEWEST_LABELS)
    some_tasks(project)
    assert step(project) == ("labels", "Label answers")


def test_imported_rankings_are_frozen(project, prompts, model):
    a_ranking(a_prompt(project), 0, 1)
    assert step(project) == ("snapshot", "Freeze a snapshot")


def test_a_snapshot_that_is_too_small_waits_for_labels(project, prompts, model):
    labelled(project, 3)
    freeze_snapshot(project)
    assert step(project) == ("tasks", "Answer prompts")
    labelled(project, FEWEST_LABELS - 3)
    assert step(project) == ("snapshot", "Freeze a snapshot")


def test_a_new_snapshot_starts_a_round(project, frozen):
    assert step(project) == ("round", "Start a round")


def test_a_snapshot_without_a_model_needs_one(project, frozen, model):
    model.delete()
    assert step(project) == ("tasks", "Train the starter model")


def test_a_round_under_way_is_watched(project, started):
    assert step(project) == ("round", "Watch the round")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.INTERRUPTED])
def test_a_round_that_stopped_is_looked_at(project, started, state):
    run_at(started.runs.first(), state=state)
    assert step(project) == ("round", "See why the round stopped")


def test_a_finished_round_leads_to_its_new_tasks(project, started):
    started.runs.update(state=State.SUCCEEDED)
    some_tasks(project)
    assert step(project) == ("labels", "Label answers")


def test_a_used_snapshot_waits_for_new_labels(project, started):
    started.runs.update(state=State.SUCCEEDED)
    labelled(project, FEWEST_LABELS - 1)
    assert step(project) == ("tasks", "Answer prompts")
    labelled(project, 1)
    assert step(project) == ("snapshot", "Freeze a snapshot")
    freeze_snapshot(project)
    assert step(project) == ("round", "Start a round")


def estimate(value, half, unit=""):
    return {"value": value, "low": value - half, "high": value + half, "n": 154, "unit": unit}


def finish(started):
    summary = {
        "judge": "utility",
        "win_rate": estimate(0.71, 0.04),
        "reward_gain": estimate(0.8, 0.1),
        "kl_reference": estimate(1.6, 0.1, "nats"),
    }
    started.runs.update(state=State.SUCCEEDED)
    evaluation = started.parts.get(part=RoundRun.Part.EVALUATE)
    Run.objects.filter(pk=evaluation.run_id).update(summary=summary)


def page_for(client, project, role):
    client.force_login(a_user(project, role))
    return client.get(reverse("project", args=[project.pk]))


def test_a_researcher_sees_what_the_last_round_found(project, started, client):
    finish(started)
    response = page_for(client, project, Role.RESEARCHER)
    for number in ("0.71 ± 0.04", "0.80 ± 0.10", "1.60 ± 0.10"):
        assertContains(response, number)
    assertContains(response, "Better than the reference")


def test_the_reward_model_shows_its_accuracy(project, frozen, var, client):
    summary = {"accuracy": estimate(0.83, 0.05)}
    an_artifact(project, var, type=Artifact.Type.REWARD, name="Reward", summary=summary)
    assertContains(page_for(client, project, Role.RESEARCHER), "83 % right")


def test_a_researchers_home_has_one_primary_action(project, frozen, client):
    response = page_for(client, project, Role.RESEARCHER)
    assert response.content.decode().count("btn primary") == 1


def test_an_annotator_sees_what_waits_and_no_loop(project, prompts, client):
    some_tasks(project, 2)
    response = page_for(client, project, Role.ANNOTATOR)
    assertContains(response, "(2 waiting)")
    assertNotContains(response, "Reward model")
    assertNotContains(response, "Workers")


def test_an_annotators_day_is_counted(project, client):
    ana = a_user(project, Role.ANNOTATOR)
    for task in some_tasks(project, 3):
        a_label(task, annotator=ana)
    client.force_login(ana)
    response = client.get(reverse("project", args=[project.pk]))
    assert (response.context["today"], response.context["waiting"]) == (3, 0)
    assertContains(response, "Nothing to label now")


def test_an_admin_sees_people_workers_and_failures(project, client):
    a_worker(host="bench")
    failed = run_at(a_run(project), state=State.FAILED, ended_at=timezone.now())
    a_user(project, Role.ANNOTATOR, simulated=True)
    response = page_for(client, project, Role.ADMIN)
    for text in ("bench, seen", failed.name, "1 simulated", "free"):
        assertContains(response, text)


def test_an_admin_is_told_that_no_worker_is_there(project, client):
    a_worker(last_seen=timezone.now() - timezone.timedelta(minutes=5))
    assertContains(page_for(client, project, Role.ADMIN), "runs wait until one starts")


def test_home_costs_the_same_however_much_there_is(
    project, started, client, django_assert_max_num_queries
):
    client.force_login(a_user(project, Role.ADMIN))
    labelled(project, 20)
    for _ in range(5):
        a_worker()
    with django_assert_max_num_queries(30):
        client.get(reverse("project", args=[project.pk]))


EMPTY = ("labeling:labels", "labeling:tasks", "datasets:snapshots", "runs:list", "rounds:compare")


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_page_says_the_same_next_step_as_home(client, researcher, project, name):
    client.force_login(researcher)

    def offered():
        found = step(project)[1]
        assertContains(client.get(reverse(name, args=[project.pk])), f">{found}</a>")
        return found

    assert offered() == "Add prompts"
    some_prompts(project, 2, split=Split.TRAIN)
    assert offered() == "Train the starter model"


def test_projects_are_listed_with_their_prompts_and_open_tasks(client, project):
    other = a_project()
    person = a_user(project)
    Membership.objects.create(project=other, user=person, role=Role.RESEARCHER)
    some_tasks(project, 3)
    Task.objects.filter(pk=project.tasks.first().pk).update(skips=3)
    client.force_login(person)
    listed = client.get(reverse("home")).context["listed"]
    told = {row.pk: (prompts, waiting, row.my_role) for row, prompts, waiting in listed}
    assert told == {project.pk: (3, 2, "researcher"), other.pk: (0, 0, "researcher")}


def test_a_list_of_projects_counts_no_further_than_it_says(client, project, monkeypatch):
    a_project()
    some_tasks(project, 4)
    monkeypatch.setattr(queries, "LISTED", 2)
    client.force_login(a_user(is_superuser=True))
    response = client.get(reverse("home"))
    assert (project, 3, 3) in response.context["listed"]
    assertContains(response, "2+ prompts")
    assertContains(response, "2+ tasks waiting")
