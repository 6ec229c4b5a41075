"""An answer needs a pair that was seen: by a clock that stands while nobody looks."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_labeling import (
    LONG,
    address,
    ana,
    assignment,
    choices,
    page,
    press,
    saved,
    shown,
)
from tests.cases import cases
from webapp.labeling.models import Completion, Label

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["address", "ana", "page"]  # fixtures
LOOK = 300  # ms
HIDE = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
CHANGED = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture
def reader(project, page):
    """The label page of a project as it is by default, with a clock that the test moves."""
    project.min_visible_ms = LOOK
    project.save()
    page.clock.install()
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    painted(shown(page))
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))  # the first pair was seen for a second
    return page


def look(page, ms=LOOK):
    page.clock.run_for(ms)


def scroll_to(element):
    """Scroll to it, until the page has heard of that: a browser says so only when it paints next.

    Observers are told after scroll events, and no clock of a test moves them.
    """
    element.evaluate(
        """(element) => new Promise((told) => {
          element.scrollIntoView();
          new IntersectionObserver(told).observe(element);
        })"""
    )


def painted(element):
    """Wait until observers have been told that it is there to be seen."""
    expect(element).to_be_visible()
    element.evaluate(
        "(element) => new Promise((told) => new IntersectionObserver(told).observe(element))"
    )


def hint(page):
    return page.locator("#hint")


def too_quick(page):
    expect(hint(page)).to_contain_text("too quick")


def better(page):
    return page.get_by_role("button", name="A is better")


def unsent_or_stored(page):
    saved(page)
    return choices()


def test_a_project_asks_for_a_look_of_300_ms_by_default(reader):
    press(reader, "2")
    look(reader, LOOK - 1)
    press(reader, "3")
    too_quick(reader)
    look(reader, 1)
    press(reader, "4")
    assert unsent_or_stored(reader) == "24"


@pytest.mark.slow
def test_a_press_that_came_too_early_is_not_carried_over(reader):
    press(reader, "23")
    too_quick(reader)
    second = assignment(reader)
    look(reader, 10 * LOOK)
    assert assignment(reader) == second
    assert unsent_or_stored(reader) == "2"


@pytest.mark.slow
def test_three_taps_at_once_answer_one_pair(reader):
    better(reader).evaluate("(button) => { for (let i = 0; i < 3; i++) button.click() }")
    too_quick(reader)
    assert unsent_or_stored(reader) == "2"


def test_the_second_click_of_a_double_click_never_answers(page):
    better(page).dblclick()
    too_quick(page)
    assert unsent_or_stored(page) == "2"


@cases("key", ["Enter", "2"])
def test_a_held_key_answers_once(page, key):
    better(page).focus()
    for _ in range(5):
        page.keyboard.down(key)
    page.keyboard.up(key)
    assert unsent_or_stored(page) == "2"


def test_time_while_the_page_is_hidden_is_no_look(reader):
    press(reader, "2")
    reader.evaluate(HIDE % "true" + CHANGED)
    look(reader, 60_000)
    press(reader, "3")
    too_quick(reader)
    reader.evaluate(HIDE % "false" + CHANGED)
    look(reader)
    press(reader, "4")
    assert unsent_or_stored(reader) == "24"


@pytest.mark.slow
def test_looks_at_a_pair_add_up(reader):
    press(reader, "2")
    second = assignment(reader)
    look(reader, LOOK // 2)
    press(reader, "u")  # the first pair lies in front of it for a while
    press(reader, "5")
    assert assignment(reader) == second
    look(reader, LOOK // 2)
    press(reader, "6")
    assert unsent_or_stored(reader) == "56"


@pytest.mark.slow
def test_a_pair_that_undo_brings_back_counts_at_once(reader):
    press(reader, "2u7")
    assert unsent_or_stored(reader) == "7"


@pytest.mark.slow
def test_a_pair_that_was_read_before_a_reload_counts_at_once(reader):
    press(reader, "2")
    look(reader)
    reader.reload()
    reader.wait_for_selector("#dock[data-ready]")
    press(reader, "3")
    assert unsent_or_stored(reader) == "23"


@pytest.mark.slow
def test_the_time_is_stored_whatever_it_is(reader):
    press(reader, "2")
    look(reader, 4321)
    press(reader, "3")
    saved(reader)
    first, second = Label.objects.order_by("pk")
    assert first.visible_ms >= LOOK
    assert 4321 <= second.visible_ms < 5000


def test_on_a_phone_b_must_have_been_seen(reader):
    reader.set_viewport_size({"width": 360, "height": 740})
    look(reader, 5000)
    press(reader, "2")
    look(reader, 5000)
    press(reader, "2")
    expect(hint(reader)).to_contain_text("Look at B first")
    reader.locator(".views").get_by_text("B", exact=True).click()
    painted(shown(reader).locator("[data-side=right]"))
    look(reader)
    press(reader, "3")
    assert unsent_or_stored(reader) == "23"


@pytest.mark.slow
def test_in_a_low_window_b_must_have_been_scrolled_to(reader):
    Completion.objects.update(text=LONG)
    reader.reload()
    reader.wait_for_selector("#dock[data-ready]")
    look(reader)
    reader.set_viewport_size({"width": 360, "height": 300})
    reader.locator("#view-both").check(force=True)
    press(reader, "2")
    scroll_to(shown(reader).locator(".asked"))
    look(reader, 5000)
    press(reader, "3")
    expect(hint(reader)).to_contain_text("Look at B first")
    scroll_to(shown(reader).locator("[data-side=right]"))
    look(reader)
    press(reader, "4")
    assert unsent_or_stored(reader) == "24"


@pytest.mark.slow
def test_a_press_that_was_too_quick_is_not_the_last_choice(reader):
    press(reader, "27")
    too_quick(reader)
    look(reader)
    press(reader, "w")
    reader.keyboard.type("why")
    reader.keyboard.press("Control+Enter")
    assert unsent_or_stored(reader) == "22"


@cases("left", ["{}", "5", '"x"', '{"shown": "a"}', "{"])
def test_nonsense_about_an_earlier_look_stops_nothing(reader, left):
    key = f"attune:seen:{assignment(reader)}"
    reader.evaluate("([key, text]) => { sessionStorage[key] = text }", [key, left])
    reader.evaluate(
        "addEventListener('pagehide', (event) => event.stopImmediatePropagation(), true)"
    )
    reader.reload()
    reader.wait_for_selector("#dock[data-ready]")
    look(reader)
    press(reader, "2")
    assert unsent_or_stored(reader) == "2"


SEEN = """() => [...document.querySelectorAll("article:not([hidden]) [data-side]")].map((text) => {
  const { left, top, width, height } = text.getBoundingClientRect();
  let seen = 0;
  for (let y = Math.max(0, top); y < Math.min(innerHeight, top + height); y += 2) {
    if (text.contains(document.elementFromPoint(left + width / 2, y))) seen += 2;
  }
  return seen;
})"""


@cases("size", [(360, 740), (360, 640), (360, 560), (1366, 625), (1280, 540), (640, 360)])
def test_no_pair_counts_as_seen_while_an_answer_has_no_line_on_the_screen(
    page, project, address, size
):
    """Whatever else is open: folds, many turns, a panel."""
    page.goto(address.split("/p/")[0])
    page.evaluate("sessionStorage.clear()")  # what was seen of the first pair so far
    Completion.objects.update(text=LONG * 3)
    turns = [{"role": role, "content": LONG} for role in ("system", "user", "assistant", "user")]
    project.prompts.update(messages=turns)
    project.min_visible_ms = LOOK
    project.save()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))  # nothing is seen before all is open
    page.goto(address)
    page.wait_for_selector("#dock[data-ready]")
    if size[0] < 768:
        page.locator("#view-both").check(force=True)
    for fold in ("why", "flags"):
        page.locator(f"#{fold} summary").click()
    page.evaluate("document.activeElement.blur()")
    page.evaluate(
        "() => new Promise((told) => new IntersectionObserver(told).observe(document.body))"
    )
    look(page, 2 * LOOK)
    lines = page.evaluate(SEEN)
    press(page, "5")
    if min(lines) < 30:
        expect(hint(page)).to_contain_text("nothing was answered")
    else:
        assert unsent_or_stored(page) == "5"
