"""One of very many models is found by its name and chosen, with the keyboard alone, with a script and without."""

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_rounds import violations
from tests.factories import a_user, some_prompts
from webapp.artifacts.models import Artifact

pytestmark = pytest.mark.browser


@pytest.fixture
def address(live_server, project):
    some_prompts(project, 1, split="train")
    Artifact.objects.bulk_create(
        Artifact(
            project=project, type="model", name=f"Model {n:03}", manifest_sha256="0" * 64, bytes=1
        )
        for n in range(60)
    )
    return f"{live_server.url}{reverse('runs:start', args=[project.pk])}?kind=generate"


@pytest.fixture
def visitor(live_server, project, client):
    """The cookie of a researcher."""
    client.force_login(a_user(project))
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": live_server.url}


def sought(page):
    return page.get_by_role("searchbox", name="Find by name: Model")


def test_what_is_typed_narrows_the_choice_and_nothing_else_changes(context, visitor, address):
    context.add_cookies([visitor])
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Name", exact=True).fill("Mine")
    sought(page).focus()
    page.keyboard.type("model 00")
    choice = page.get_by_label("Model", exact=True)
    expect(choice.locator("option")).to_have_count(12)  # none, ten, and the one that was chosen
    expect(sought(page)).to_be_focused()
    choice.select_option(label=choice.locator("option", has_text="Model 007").inner_text())
    expect(page.locator("#outlook")).to_contain_text("Model 007")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Mine")
    assert violations(page) == []


def test_without_a_script_enter_finds_and_starts_nothing(context, visitor, address, project):
    alone = context.browser.new_context(java_script_enabled=False)
    alone.add_cookies([visitor])
    page = alone.new_page()
    page.goto(address)
    sought(page).fill("model 00")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Model", exact=True).locator("option")).to_have_count(12)
    assert "kind=generate" in page.url
    assert not project.runs.exists()
    alone.close()
