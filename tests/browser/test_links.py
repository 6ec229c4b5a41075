"""Links of an answer, followed in every way that a browser has."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import CHROMIUM
from tests.browser.test_texts import ana, open_page, shown
from tests.cases import cases

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["ana", "open_page"]  # fixtures


@pytest.fixture(scope="module")
def every_site(chromium):
    """A browser with a process for every site: one that two of them share crashes on some middle clicks."""
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def context(every_site):
    context = every_site.new_context()
    yield context
    context.close()


@cases("how", ["click", "Enter"])
def test_a_link_opens_apart_and_tells_nobody_where_it_was(open_page, context, how):
    asked = []
    context.route("https://e.org/**", lambda route: route.fulfill(body="elsewhere"))
    context.on("request", lambda request: asked.append((request.url, request.headers)))
    page = open_page("[text](https://e.org/a)", "b")
    link = shown(page).get_by_role("link", name="text")
    expect(shown(page).get_by_text("(https://e.org/a)").locator("visible=true")).to_be_visible()
    here = page.url
    with context.expect_page() as opened:
        if how == "click":
            link.click()
        else:
            link.focus()
            page.keyboard.press("Enter")
    opened.value.wait_for_load_state()
    assert opened.value.url == "https://e.org/a"
    assert opened.value.evaluate("window.opener") is None
    assert page.url == here
    sent = [headers for url, headers in asked if url.startswith("https://e.org")]
    assert sent
    assert not any("referer" in headers for headers in sent)


@pytest.mark.slow
@pytest.mark.parametrize(
    "press", [{"button": "middle"}, {"modifiers": ["Control"]}, {"modifiers": ["Shift"]}]
)
def test_no_way_of_following_a_link_loses_the_pair(open_page, context, press):
    context.route("https://e.org/**", lambda route: route.fulfill(body="elsewhere"))
    page = open_page("[text](https://e.org/a)", "b")
    here, pair = page.url, shown(page).get_attribute("data-assignment")
    shown(page).get_by_role("link", name="text").click(**press)
    page.keyboard.press("r")
    expect(shown(page).get_by_text("[text](https://e.org/a)")).to_be_visible()
    assert (page.url, shown(page).get_attribute("data-assignment")) == (here, pair)
