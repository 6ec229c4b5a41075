"""Conversations with tools on the pages that draw turns: as such, and as text."""

import json

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from alignment.seam.records import Message, prompt_key
from tests.factories import a_completion, a_label, a_user, compare
from webapp.accounts.roles import Role
from webapp.projects.services import add_prompts

HOSTILE = "<script>alert(1)</script>"
FUNCTION = {"name": "look", "description": HOSTILE, "parameters": {"type": "object"}}
CALL = {"name": "look", "arguments": json.dumps({"where": HOSTILE}), "id": "c1"}


def a_talk(told):
    """A question with tools, a call, and what the tool answered."""
    asked = {"tools": json.dumps([{"type": "function", "function": FUNCTION}])}
    return (
        Message(role="user", content="How is the sky?", **asked),
        Message(role="assistant", content="", tool_calls=[CALL]),
        Message(role="tool", content=told, tool_call_id="c1", name="look"),
    )


@pytest.fixture(params=[HOSTILE, HOSTILE + "x" * 400], ids=["short", "long"])
def task(request, project):
    add_prompts(project, [a_talk(request.param)], source="imported")
    prompt = project.prompts.get(key=prompt_key(a_talk(request.param)))
    assert prompt.record().messages == a_talk(request.param)
    compare(project, [(a_completion(prompt), a_completion(prompt))])
    return project.tasks.get()


@pytest.mark.once
@pytest.mark.parametrize(
    "page", ["labeling:label", "labeling:labels", "quality:disagreement", "prompts"]
)
def test_tools_calls_and_answers_are_shown_as_such_and_as_text(client, project, task, page):
    if page == "labeling:labels":
        a_label(task, annotator=a_user(project, Role.ANNOTATOR))
    arguments = [task.pk] if page == "quality:disagreement" else []
    client.force_login(a_user(project, Role.ADMIN))
    response = client.get(reverse(page, args=[project.pk, *arguments]))
    for words in ("1 tool may be called", "Calls <code>look</code>", "Answer of the tool look"):
        assertContains(response, words)
    written = "&lt;script&gt;alert(1)&lt;/script&gt;"  # in a description, an argument and an answer
    assertContains(response, written, count=3)
    assertNotContains(response, HOSTILE)
    folded = len(task.prompt.messages[-1]["content"]) > 400
    assert (
        "characters</summary>" in " ".join(response.text.split()).replace(" </s", "</s")
    ) == folded


def test_a_program_that_labels_gets_the_turns_as_they_are(client, project, task):
    client.force_login(a_user(project, Role.ANNOTATOR))
    url = reverse("labeling:label", args=[project.pk])
    card = client.get(url, headers={"Accept": "application/json"}).json()
    assert card["messages"] == task.prompt.messages
    assert card["prompt"] == "How is the sky?"
