"""Advice as a researcher meets it: on the project's home without being asked for, and what it rests on."""

from itertools import product

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_rounds import violations
from tests.webapp.projects.test_advice import a_reward_run, estimate

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture
def page(live_server, project, researcher, client, context, browser_page, var):
    """The project's home in a researcher's browser."""
    curve = [
        {"labels": n, "accuracy": estimate(value)}
        for n, value in ((50, 0.6), (100, 0.64), (200, 0.67))
    ]
    a_reward_run(project, var, 200, 0.67, learning_curve=curve)
    client.force_login(researcher)
    cookie = {"name": settings.SESSION_COOKIE_NAME, "url": live_server.url}
    context.add_cookies([cookie | {"value": client.cookies[cookie["name"]].value}])
    browser_page.goto(live_server.url + reverse("project", args=[project.pk]))
    return browser_page


@pytest.mark.slow
def test_the_home_says_what_would_help_and_a_page_says_how_that_is_known(page):
    card = page.locator("section", has=page.get_by_role("heading", name="What would help most"))
    expect(card).to_contain_text("The next 500 labels are worth about +")
    expect(card).to_contain_text("Too few runs tell what more alignment is worth")
    assert violations(page) == []
    card.get_by_role("link", name="How this is known").click()
    expect(
        page.get_by_role("region", name="More labels: what was measured").locator("tbody tr")
    ).to_have_count(3)
    for size, scheme in product((WIDE, PHONE), ("light", "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
