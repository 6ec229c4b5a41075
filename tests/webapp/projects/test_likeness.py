"""Prompts much like one that is there: shown before they are saved, and saved if that is meant."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_prompt, a_user
from webapp.projects.likeness import COMPARED, near_duplicates

TEXT = "How do I bake bread in a small oven?"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("how do I bake a bread in a small oven", True),
        ("How do I bake bread in a very small oven?", True),
        ("How do I bake cakes in a large pan?", False),
        ("Why?", False),
        ("怎么在小烤箱里烤面包?", False),
    ],
)
def test_what_says_much_the_same_is_found(project, text, near):
    a_prompt(project, TEXT)
    assert [one.text for one in near_duplicates(project, text)] == [TEXT] * near


def test_any_language_is_compared(project):
    a_prompt(project, "怎么在小烤箱里烤面包?")
    assert near_duplicates(project, "怎么在小烤箱里烤大面包?")
    assert not near_duplicates(project, "今天的天气怎么样?")


def test_the_most_like_comes_first_and_long_ones_are_compared_by_their_beginning(project):
    a_prompt(project, TEXT)
    a_prompt(project, TEXT + " Please.")
    found = near_duplicates(project, TEXT + " Please!")
    assert [one.percent for one in found] == sorted([one.percent for one in found], reverse=True)
    assert found[0].text == TEXT + " Please."
    long = "word " * COMPARED
    a_prompt(project, long)
    assert near_duplicates(project, long + "other")[0].percent == 100


def test_the_page_shows_them_once_and_saves_it_all_the_same(project, client):
    a_prompt(project, TEXT)
    client.force_login(a_user(project))
    url = reverse("prompts", args=[project.pk])
    again = TEXT.replace("small", "smaller")
    shown = client.post(url, {"text": again})
    assertContains(shown, "Add it all the same")
    assertContains(shown, f"{TEXT} <span")
    assert project.prompts.count() == 1
    assert client.post(url, {"text": again, "anyway": "1"}).status_code == 302
    assert project.prompts.count() == 2
    assertContains(client.post(url, {"text": TEXT.upper(), "anyway": "1"}), "Already there")
