"""The pages of webhooks and of the audit log as an admin meets them."""

import os

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.browser.test_tokens import faults
from tests.factories import a_user
from webapp.accounts.roles import Role

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def look(page, name):
    """What is wrong with the page in light and dark, wide and narrow."""
    found = []
    for scheme, width in (("light", 1280), ("dark", 360)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        found += faults(page)
        if folder := os.environ.get("SHOTS"):
            page.screenshot(path=f"{folder}/{name}-{scheme}-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 800})
    return found


@pytest.mark.slow
def test_a_webhook_is_made_tried_and_told_of_in_the_audit_log(
    live_server, project, client, context, browser_page
):
    client.force_login(a_user(project, Role.ADMIN, username="ada"))
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies(
        [{"name": name, "value": client.cookies[name].value, "url": live_server.url}]
    )
    page = browser_page
    page.goto(f"{live_server.url}/p/{project.pk}/")
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_label("Address").fill("https://127.0.0.1/hook")
    page.get_by_label("run ended").check()
    page.get_by_role("button", name="Make a webhook").click()
    expect(page.get_by_text("private network")).to_be_visible()
    page.get_by_label("Address").fill("https://example.org/hook")
    page.get_by_role("button", name="Make a webhook").click()
    expect(page.locator("code.secret")).to_contain_text("whsec_")
    assert look(page, "list") == []
    page.get_by_role("link", name="https://example.org/hook").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("cell", name="webhook.tested")).to_be_visible()
    assert look(page, "detail") == []
    page.goto(f"{live_server.url}/p/{project.pk}/audit/")
    page.get_by_label("What").select_option("webhook.made")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Show all").or_(page.get_by_label("What")).first.focus()
    assert look(page, "audit") == []
    with page.expect_download() as file:
        page.get_by_role("link", name="Download").click()
    assert "webhook.made" in file.value.path().read_text()
