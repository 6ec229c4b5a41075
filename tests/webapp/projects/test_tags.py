"""Prompts with tags, and what is done with many at once: each act can be undone."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_project, a_prompt, a_user, again, some_prompts
from webapp.accounts.roles import Role
from webapp.labeling.making import TasksWanted, make_tasks
from webapp.projects.models import LONGEST_TAG, PromptStanding
from webapp.projects.tags import MOST_TAGS, restore_prompts, retire_prompts, tag_prompts, tags_in


@pytest.fixture
def act(project, client, researcher):
    """Does something with prompts; the page that follows."""
    client.force_login(researcher)

    def act(act, prompts, tag="", **more):
        url = reverse("act_on_prompts", args=[project.pk])
        chosen = {"act": act, "tag": tag, "prompt": [one.pk for one in prompts]}
        return client.post(url, chosen | more, follow=True)

    return act


def tags_of(prompt):
    return [tag.name for tag in prompt.tags.all()]


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", []),
        (" , ,", []),
        ("Code, safety ,code", ["code", "safety"]),
        ("two \t words", ["two words"]),
        ("x" * 99, ["x" * LONGEST_TAG]),
        (",".join(map(str, range(99))), list(map(str, range(MOST_TAGS)))),
    ],
)
def test_tags_are_written_with_commas_between(text, tags):
    assert tags_in(text) == tags


def test_what_is_done_with_many_is_undone_by_one_press(project, act, client):
    prompts = some_prompts(project, 3)
    tag_prompts(project, [prompts[0].pk], "code")
    page = act("tag", prompts, "Code")
    assertContains(page, "2 prompts changed.")
    assert [tags_of(one) for one in prompts] == [["code"]] * 3
    undo = page.context["undo"]
    assert undo == {"act": "untag", "tag": "code", "prompts": [str(one.pk) for one in prompts[1:]]}
    assertContains(page, ">Undo</button>")
    page = act("untag", prompts[1:], "code", undo="1")
    assertNotContains(page, ">Undo</button>")
    assert [tags_of(one) for one in prompts] == [["code"], [], []]


@pytest.mark.once
def test_what_is_retired_is_in_no_new_task_and_run_until_it_is_restored(project, act):
    prompts = some_prompts(project, 2, split="train")
    waiting = a_prompt(project, standing=PromptStanding.WAITING)
    page = act("retire", [*prompts, waiting])
    assertContains(page, "2 prompts changed.")
    assertContains(page, "retired</span>")
    assert not project.prompts.of_split("train")
    assert make_tasks(project, TasksWanted("demonstrate", most=9)).new == 0
    act("restore", [*prompts, waiting])
    assert list(project.prompts.of_split("train").order_by("pk")) == prompts
    assert again(waiting).standing == PromptStanding.WAITING


def test_prompts_of_another_project_are_left_alone(project):
    other = a_prompt(a_project())
    assert tag_prompts(project, [other.pk], "code") == []
    assert retire_prompts(project, [other.pk]) == restore_prompts(project, [other.pk]) == []
    assert again(other).standing == PromptStanding.ACCEPTED


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"act": "tag"}, "Write one tag"), ({"act": "tag", "tag": "a,b"}, "Write one tag"), ({"prompts": []}, "Choose prompts")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_words(project, act, wrong, words):
    prompt = a_prompt(project)
    assertContains(act(**{"act": "retire", "prompts": [prompt]} | wrong), words)
    assert again(prompt).standing == PromptStanding.ACCEPTED


def test_who_writes_a_prompt_gives_it_tags_and_finds_it_by_them(project, client):
    client.force_login(a_user(project, Role.ANNOTATOR))
    url = reverse("prompts", args=[project.pk])
    client.post(url, {"text": "How do I sort a list?", "tags": "Code, short"})
    a_prompt(project, "Why is it cold?")
    assert tags_of(project.prompts.order_by("pk").first()) == ["code", "short"]
    for query in ({"tag": "Code"}, {"tag": "code", "q": "sort"}):
        page = client.get(url, query)
        assertContains(page, "How do I sort")
        assertNotContains(page, "Why is it cold?")
        assertNotContains(page, 'form="acts"')  # annotators choose none
