"""A project made after another one."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_label, a_prompt, a_user, some_tasks
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.projects.copying import copy_project
from webapp.projects.models import Project, PromptStanding
from webapp.projects.tags import tag_prompts

COPIED = ("guidelines", "composition", "daily_quota", "gold_every", "reviews")


@pytest.fixture
def root(db):
    return User.objects.create_superuser("root")


@pytest.fixture
def source(project):
    """With settings, a wish, a member, a tagged prompt, one that waits, and a label."""
    settings = {
        "guidelines": "Be kind.",
        "composition": {"points": 4},
        "daily_quota": 7,
        "form_version": 3,
    }
    Project.objects.filter(pk=project.pk).update(**settings)
    project.refresh_from_db()
    project.wishes.create(what="prompts", tag="law", wanted=5)
    a_user(project, Role.RESEARCHER, username="rita")
    prompt = a_prompt(project, "What is a tort?")
    tag_prompts(project, [prompt.pk], "law")
    a_prompt(project, standing=PromptStanding.WAITING)
    a_label(some_tasks(project)[0], annotator=a_user(project, Role.ANNOTATOR, username="ana"))
    return project


def test_settings_and_wishes_come_along_and_labels_do_not(source, root):
    made = copy_project(source, "Second", by=root)
    assert [getattr(made, name) for name in COPIED] == [getattr(source, name) for name in COPIED]
    assert (made.form_version, made.archived_at) == (1, None)
    assert list(made.wishes.values_list("tag", "wanted")) == [("law", 5)]
    assert [(one.user, one.role) for one in made.memberships.all()] == [(root, Role.ADMIN)]
    assert not made.prompts.exists()
    assert not made.labels.exists()


@pytest.mark.once
def test_members_and_prompts_with_their_tags_come_along_where_wanted(source, root):
    made = copy_project(source, "Second", by=root, members=True, prompts=True)
    roles = dict(made.memberships.values_list("user__username", "role"))
    assert roles == {"root": Role.ADMIN, "rita": Role.RESEARCHER, "ana": Role.ANNOTATOR}
    kept = source.prompts.filter(standing=PromptStanding.ACCEPTED)
    assert set(made.prompts.values_list("key", "split")) == set(kept.values_list("key", "split"))
    assert made.prompts.get(tags__name="law").text == "What is a tort?"
    assert source.prompts.count() == 3


@pytest.mark.once
def test_a_superuser_copies_on_the_page_and_nobody_else(source, root, client):
    url = reverse("copy_project", args=[source.pk])
    client.force_login(root)
    assertContains(client.post(url, {"name": source.name}), "already exists")
    page = client.post(url, {"name": "Second", "prompts": "on"}, follow=True)
    assertContains(page, "The copy is made")
    assert Project.objects.get(name="Second").prompts.count() == 2
    client.force_login(a_user(source, Role.ADMIN))
    assert client.post(url, {"name": "Third"}).status_code == 404
