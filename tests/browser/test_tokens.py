"""The pages of the API as a person meets them."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.factories import a_user
from webapp.accounts.roles import Role
from webapp.api.attune_client import Client

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


def faults(page):
    """What axe finds on the page, and whether anything is off screen."""
    page.evaluate(AXE.read_text())
    found = [one["id"] for one in page.evaluate("axe.run()")["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return found + ["off screen"] * wide


@pytest.mark.slow
def test_a_token_is_made_used_and_revoked_at_any_width(
    live_server, project, client, context, browser_page
):
    client.force_login(a_user(project, Role.ADMIN, username="ada"))
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies(
        [{"name": name, "value": client.cookies[name].value, "url": live_server.url}]
    )
    page = browser_page
    page.goto(f"{live_server.url}/p/{project.pk}/")
    page.get_by_role("link", name="API tokens").click()
    page.get_by_label("Name").fill("nightly")
    page.get_by_role("button", name="Make a token").click()
    secret = page.locator("code.secret").inner_text()
    assert [one["id"] for one in Client(live_server.url, secret).list("projects")] == [project.pk]
    page.set_viewport_size({"width": 360, "height": 800})
    assert faults(page) == []
    page.get_by_role("button", name="Revoke nightly").click()
    expect(page.get_by_text("nightly works no longer.")).to_be_visible()
    page.get_by_role("link", name="What the API does").click()
    page.get_by_text(re.compile("POST /api/v1/projects/{project_id}/labels")).click()
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert faults(page) == []
