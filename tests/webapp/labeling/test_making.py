"""Tasks made of the prompts and answers that a project has, by every kind that can be asked so."""

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_completion, a_prompt, a_user
from webapp.accounts.roles import Role
from webapp.labeling.composition import Composition
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.making import TasksMade, TasksWanted, kinds_to_make, make_tasks
from webapp.labeling.models import Completion, Task

pytestmark = pytest.mark.once

MADE = [name for name, kind in TASK_KINDS.items() if kind.made]
ANSWERS = 4  # of each prompt


@pytest.fixture
def prompts(project):
    """Prompts with answers, one of which nobody may label."""
    prompts = [a_prompt(project, split=split) for split in ("train", "validation", "test")]
    for prompt in prompts:
        for _ in range(ANSWERS):
            a_completion(prompt)
    return prompts


@pytest.mark.twice
@pytest.mark.parametrize("kind", MADE)
def test_every_kind_is_made_of_each_prompt_once(project, prompts, kind):
    made = make_tasks(project, TasksWanted(kind, most=100, need=2))
    assert made.new == Task.objects.filter(kind=kind, need=2).count() > 0
    assert {task.prompt for task in Task.objects.all()} == set(prompts[:2])
    assert all(task.size in TASK_KINDS[kind].items for task in Task.objects.all())
    assert make_tasks(project, TasksWanted(kind, most=100)) == TasksMade(0, made.new)


def test_as_many_are_made_as_are_wanted(project, prompts):
    assert make_tasks(project, TasksWanted("edit", most=3)).new == 3
    assert make_tasks(project, TasksWanted("edit", most=3)) == TasksMade(3, 3)
    assert Task.objects.count() == 6


def test_answers_and_prompts_are_chosen_from(project, prompts):
    own = a_completion(prompts[1], source=Completion.Source.HUMAN)
    make_tasks(project, TasksWanted("edit", most=100, source="human"))
    assert [task.completions for task in Task.objects.all()] == [[own]]
    make_tasks(project, TasksWanted("rank", most=100, split="train"))
    assert Task.objects.get(kind="rank").prompt == prompts[0]


@pytest.fixture
def page(project, client):
    """The form, seen by a researcher."""
    client.force_login(a_user(project, Role.RESEARCHER))
    return reverse("labeling:make", args=[project.pk])


def test_the_page_makes_them_and_says_how_many(project, prompts, page, client):
    shown = client.get(page)
    for name, words in kinds_to_make().items():
        assertContains(shown, words, count=int(Composition().offers(name)))
    sent = {"kind": "rank", "need": 1, "most": 200}
    done = client.post(page, sent, follow=True)
    assertContains(done, "2 tasks are made.")
    assertContains(client.post(page, sent), "asked already")
    assertContains(client.post(page, sent | {"source": "model"}), "No prompt has answers")
    assertContains(client.post(page, sent | {"kind": "sing"}), "Select a valid choice")


def test_the_command_makes_them(project, prompts, capsys):
    call_command("make_tasks", project.name, "demonstrate", "--prompts", "train")
    assert capsys.readouterr().out == "1 tasks made, 0 were there.\n"
    with pytest.raises(CommandError, match="asked already"):
        call_command("make_tasks", str(project.pk), "demonstrate", "--prompts", "train")
    with pytest.raises(CommandError, match="no project 'Nowhere'"):
        call_command("make_tasks", "Nowhere", "rank")
