"""A test finds its window as if it were new."""

from contextlib import suppress

import pytest
from playwright.sync_api import Error, expect

from tests.browser.conftest import Windows

LEAVE = """async () => {
  localStorage.setItem("left", "1");
  document.cookie = "left=1";
  await (await caches.open("left")).put("/left", new Response("1"));
  await new Promise((opened) => { indexedDB.open("left").onsuccess = opened; });
}"""
LEFT = """async () => [
  ...Object.keys(localStorage), document.cookie, ...await caches.keys(),
  ...(await indexedDB.databases()).map(({name}) => name),
]"""


def test_nothing_of_a_test_is_left_to_the_next(chromium, live_server):
    windows = Windows(chromium, f"{live_server.url}/healthz")
    context = windows.take()
    page = context.new_page()
    page.goto(windows.address)
    page.evaluate(LEAVE)
    assert page.evaluate(LEFT) == ["left", "left=1", "left", "left"]
    context.route("**/*", lambda route: route.abort())
    context.set_offline(True)
    windows.give_back()
    assert windows.take() is context
    assert context.pages == [windows.parked]
    page = context.new_page()
    assert page.goto(windows.address).ok
    assert page.evaluate(LEFT) == [""]
    windows.close()


def test_a_window_that_crashed_is_not_given_to_the_next(chromium, live_server):
    windows = Windows(chromium, f"{live_server.url}/healthz")
    context = windows.take()
    with windows.parked.expect_event("crash"), suppress(Error):
        windows.parked.goto("chrome://crash")
    assert windows.spoiled == [context]
    windows.close()
    assert windows.take() is not context
    windows.close()


@pytest.mark.parametrize(
    "spoil", [lambda page: page.clock.install(), lambda page: page.context.add_init_script("1")]
)
def test_what_cannot_be_taken_back_spoils_a_window(chromium, live_server, spoil):
    windows = Windows(chromium, f"{live_server.url}/healthz")
    context = windows.take()
    spoil(context.new_page())
    assert windows.spoiled == [context]
    windows.close()


def test_a_window_is_as_wide_as_a_desk(browser_page):
    browser_page.set_content("<p>wide</p>")
    expect(browser_page.get_by_text("wide")).to_be_visible()
    assert browser_page.viewport_size == {"width": 1280, "height": 800}
