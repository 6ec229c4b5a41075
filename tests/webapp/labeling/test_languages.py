"""Tasks have the language of their prompts where somebody has named what they read."""

import pytest
from django.urls import reverse

from tests.factories import a_prompt, again, some_tasks
from webapp.jobs.models import Job, State
from webapp.jobs.tasks import work
from webapp.labeling import queue
from webapp.labeling.cursors import Cursor, move_cursor
from webapp.labeling.making import TasksWanted, make_tasks
from webapp.labeling.models import Task
from webapp.people.services import prefer_languages
from webapp.projects.languages import LANGUAGES, NO_LANGUAGE, _identifier

pytestmark = [pytest.mark.django_db, pytest.mark.once]
TEXTS = {
    "en": "How does a river shape the land on its way down to the sea?",
    "de": "Wie formt ein Fluss die Landschaft auf seinem Weg bis zum Meer?",
    "": "Why?",
}


@pytest.fixture
def prompts(project):
    return [a_prompt(project, text, split="train") for text in TEXTS.values()]


def languages():
    return dict(Task.objects.values_list("prompt", "language"))


def test_nothing_is_looked_at_while_nobody_has_named_what_they_read(project, prompts, ana):
    make_tasks(project, TasksWanted("demonstrate", most=9))
    assert set(languages().values()) == {None}


@pytest.mark.twice
def test_tasks_that_are_made_have_the_language_of_their_prompts(project, prompts, ana):
    prefer_languages(ana, ["de"])
    make_tasks(project, TasksWanted("demonstrate", most=9))
    assert languages() == dict(zip([one.pk for one in prompts], TEXTS, strict=True))


def test_who_names_languages_has_the_tasks_looked_at_that_are_there(project, prompts, ana, client):
    make_tasks(project, TasksWanted("demonstrate", most=9))
    move_cursor(project, ana)
    client.force_login(ana)
    page = reverse("accounts:own_account")
    client.post(page, {"time_zone": "", "reads": ["en", "zh"]})
    assert again(ana).reads == ["en", "zh"]
    assert not Cursor.objects.exists()
    job = Job.objects.get(kind="languages")
    client.post(page, {"time_zone": "", "reads": ["zh"]})
    assert Job.objects.count() == 1  # that one is on its way
    work(job.pk)
    assert (again(job).state, again(job).result) == (State.DONE, {"tasks": 3})
    assert sorted(languages().values()) == ["", "de", "en"]
    assert [card.task.language for card in queue.claim_page(project, again(ana))] == [""]
    client.post(page, {"time_zone": ""})
    assert again(ana).reads == []
    assert len(queue.claim_page(project, again(ana))) == 3


def test_a_language_that_nobody_can_tell_is_refused(client, ana):
    client.force_login(ana)
    page = client.post(reverse("accounts:own_account"), {"time_zone": "", "reads": ["xx"]})
    assert page.context["form"].errors["reads"]
    assert again(ana).reads == []


def test_every_language_that_can_be_told_is_offered():
    assert {*LANGUAGES, NO_LANGUAGE} == set(map(str, _identifier().nb_classes))


def test_tasks_that_are_there_keep_their_language(project, ana):
    (task,) = some_tasks(project)
    Task.objects.filter(pk=task.pk).update(language="fr")
    prefer_languages(ana, ["fr"])
    work(Job.objects.get().pk)
    assert again(task).language == "fr"
