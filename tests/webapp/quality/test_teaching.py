"""The page that asks what teaches most: what it needs first, its form, and the scores for who wants them."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_completion, a_prompt, a_user, an_artifact, some_proposals
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.jobs import execution
from webapp.jobs.models import Job
from webapp.projects.models import Split
from webapp.quality.models import ChosenTask

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def url(project):
    return reverse("quality:allocation", args=[project.pk])


@pytest.fixture
def pairs(project):
    prompts = [a_prompt(project, split=Split.TRAIN) for _ in range(12)]
    return [(a_completion(prompt), a_completion(prompt), 0.5) for prompt in prompts]


@pytest.mark.twice
def test_without_a_reward_model_it_leads_to_one_with_several_heads(rita, url):
    page = rita.get(url)
    assertContains(page, "?kind=reward&amp;reward-heads=8")
    assertContains(page, 'hx-get="{}"'.format(url.replace("quality/teaching", "advice")))


def test_with_one_it_leads_to_scores(rita, url, project, var):
    an_artifact(project, var, type=Artifact.Type.REWARD)
    assertContains(rita.get(url), "?kind=score")


def test_the_form_chooses_tasks_and_the_table_shows_them(rita, url, project, var, pairs):
    some_proposals(project, var, pairs)
    form = rita.get(url).context["form"]
    sent = {
        "key": form.initial["key"],
        "method": "ensemble",
        "wanted": 10,
        "control": 20,
        "need": 2,
    }
    job = Job.objects.get(pk=rita.post(url, sent).url.rstrip("/").rpartition("/")[2])
    assert job.created_by.username == rita.get(url).wsgi_request.user.username
    execution.execute(execution.claim(job.pk))
    assert ChosenTask.objects.filter(chosen_by="control", task__need=2).count() == 2
    page = rita.get(url)
    assertContains(page, "What choosing brought")
    assertContains(page, "By chance")
    assertContains(rita.post(url, sent | {"control": 5}), "greater than or equal to 10")


def test_one_head_cannot_disagree(rita, url, project, var, pairs):
    some_proposals(project, var, pairs, heads=1)
    key = rita.get(url).context["form"].initial["key"]
    sent = {"key": key, "method": "ensemble", "wanted": 10, "control": 20, "need": 1}
    assertContains(rita.post(url, sent), "one head, which cannot disagree")
    assert rita.post(url, sent | {"method": "design"}).status_code == 302


def test_a_newer_reward_model_is_worth_new_scores(rita, url, project, var):
    some_proposals(project, var, [])
    assertNotContains(rita.get(url), "A newer reward model is there")
    newer = an_artifact(project, var, type=Artifact.Type.REWARD)
    assertContains(rita.get(url), f"?kind=score&amp;reward={newer.pk}")


def test_the_scores_are_a_file_of_this_project_alone(rita, url, project, var, client):
    made = some_proposals(project, var, [])
    file = reverse("quality:scores", args=[project.pk, made.pk])
    assert b"".join(rita.get(file).streaming_content) == (made.path / "scores.jsonl").read_bytes()
    other = an_artifact(project, var, type=Artifact.Type.SCORES)
    assert rita.get(reverse("quality:scores", args=[project.pk, other.pk])).status_code == 404
    client.force_login(a_user(project, Role.ANNOTATOR))
    assert client.get(file).status_code == client.get(url).status_code == 404
