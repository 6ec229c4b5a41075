"""What a project still needs, by tag and split, and a press that lets somebody write it."""

from uuid import uuid4

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_completion, a_prompt, a_user
from webapp.accounts.roles import Role
from webapp.labeling.models import Task
from webapp.labeling.queue import claim
from webapp.labeling.services import submit_label
from webapp.labeling.wishes import MOST_WISHES, needs_of
from webapp.projects.models import PromptStanding
from webapp.projects.services import set_reviews
from webapp.projects.tags import tag_prompts


@pytest.fixture
def tagged(project):
    """Two prompts about code, of which one waits for its reviewers, and one of another tag."""
    prompts = [a_prompt(project, split="train") for _ in range(2)]
    waiting = a_prompt(project, split="train", standing=PromptStanding.WAITING)
    tag_prompts(project, [prompts[0].pk, waiting.pk], "code")
    tag_prompts(project, [prompts[1].pk], "law")
    return prompts


def wish(project, what="written", wanted=2, **columns):
    return project.wishes.create(what=what, wanted=wanted, **{"tag": "code"} | columns)


def counted(project):
    return [(need.there, need.lacks) for need in needs_of(project)]


@pytest.mark.parametrize(
    ("columns", "there"),
    [({}, 1), ({"tag": ""}, 2), ({"split": "train"}, 1), ({"split": "test"}, 0), ({"tag": "no"}, 0)],
)  # fmt: skip
def test_prompts_that_are_used_are_counted_by_tag_and_split(project, tagged, columns, there):
    wish(project, "prompts", **columns)
    assert counted(project) == [(there, 2 - there)]


def test_answers_are_counted_by_the_tag_of_their_prompts(project, tagged):
    wish(project, "answers", 2)
    for prompt in (*tagged, tagged[0], tagged[0]):
        a_completion(prompt)
    assert counted(project) == [(3, 0)]


def test_who_presses_gets_a_prompt_to_answer_and_what_waits_for_reviewers_is_not_there_yet(
    project, tagged, client, ana
):
    set_reviews(project, answer_reviews=1, answer_accepts=1)
    client.force_login(ana)
    asked = wish(project)
    page = client.get(reverse("needed", args=[project.pk]))
    url = reverse("write_wanted", args=[project.pk, asked.pk])
    assertContains(page, url)
    assertNotContains(page, reverse("drop_wish", args=[project.pk, asked.pk]))
    assert client.post(url).url == reverse("labeling:label", args=[project.pk])
    held = claim(project, ana)
    assert (held.task.kind, held.task.prompt) == ("demonstrate", tagged[0])
    assertContains(client.post(url, follow=True), "Write another prompt first")
    assert Task.objects.count() == 1
    submit_label(held, client_id=uuid4(), answer={"text": "Gladly."})
    assert counted(project) == [(0, 2)]
    review = claim(project, a_user(project, Role.ANNOTATOR))
    submit_label(review, client_id=uuid4(), answer={"decision": "accept"})
    assert counted(project) == [(1, 1)]


@pytest.mark.once
def test_a_prompt_is_written_with_the_tag_that_is_wanted(project, client, ana):
    wish(project, "prompts", tag="code & law")
    client.force_login(ana)
    page = client.get(reverse("needed", args=[project.pk]))
    link = reverse("prompts", args=[project.pk]) + "?write=code%20%26%20law"
    assertContains(page, link)
    assertContains(client.get(link), 'value="code &amp; law"')


def test_a_researcher_says_what_is_wanted_changes_it_and_drops_it(project, client, researcher):
    client.force_login(researcher)
    url = reverse("needed", args=[project.pk])
    assertContains(client.get(url), "Nothing is wanted yet")
    asked = {"what": "prompts", "tag": " Code", "split": "train", "wanted": 5}
    client.post(url, asked)
    client.post(url, asked | {"wanted": 7})
    (one,) = project.wishes.all()
    assert (one.tag, one.split, one.wanted) == ("code", "train", 7)
    assertContains(client.post(url, asked | {"wanted": 0}), "greater than or equal to 1")
    client.post(reverse("drop_wish", args=[project.pk, one.pk]))
    assert not project.wishes.exists()
    for number in range(MOST_WISHES):
        wish(project, tag=str(number))
    assertContains(client.post(url, asked), "Drop one first")
    assert project.wishes.count() == MOST_WISHES
