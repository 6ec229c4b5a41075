"""Labelling as a person does it: in a real browser, by keyboard, on a phone, on a bad connection."""

from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.cases import cases
from tests.factories import a_user, some_tasks
from tests.webapp.addresses import session_of
from tests.webapp.labeling.acts import overdue
from webapp.accounts.roles import Role
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Completion, Label, Task
from webapp.labeling.services import expire_leases

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "long-enough-to-type"  # of a test
LONG = "A sentence that goes on for a while. " * 60


@pytest.fixture
def ana(project):
    return a_user(project, role=Role.ANNOTATOR, username="ana", password=PASSWORD)


@pytest.fixture
def address(live_server, project, ana):
    return live_server.url + reverse("labeling:label", args=[project.pk])


@pytest.fixture
def page(project, context, browser_page, address, ana):
    """The label page with 20 pairs waiting; its person is signed in."""
    some_tasks(project, 20, texts=(LONG, "Short."))
    origin = address.split("/p/")[0]
    context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": session_of(ana), "url": origin}]
    )
    browser_page.goto(address)
    browser_page.wait_for_selector("#dock[data-ready]")
    return browser_page


def sign_in(page):
    page.locator("[name=login]").focus()
    page.keyboard.type("ana")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#dock[data-ready]")


def shown(page):
    return page.locator("article:not([hidden])")


def assignment(page):
    return shown(page).get_attribute("data-assignment")


def saved(page):
    expect(page.locator("#saved")).to_have_text("saved ✓")


def press(page, keys):
    for key in keys:
        expect(shown(page)).to_be_visible()
        page.keyboard.press(key)


def choices():
    return "".join(str(label.said.choice) for label in Label.objects.current().order_by("pk"))


@pytest.mark.slow
def test_twenty_pairs_are_labelled_by_keyboard_alone(page, context, address):
    context.clear_cookies()
    page.goto(address)
    sign_in(page)
    pressed = "12345670" * 2 + "4177"
    press(page, pressed)
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    saved(page)
    assert choices() == pressed
    assert Task.objects.filter(done=1).count() == 20


def test_undo_by_key_brings_the_same_pair_back_at_once(page):
    first = assignment(page)
    press(page, "16u")
    assert assignment(page) != first
    press(page, "u")
    assert assignment(page) == first
    press(page, "72")
    saved(page)
    assert choices() == "72"
    assert Label.objects.filter(retracted=True).count() == 2


@pytest.mark.slow
def test_the_last_answer_can_be_undone_when_nothing_is_left(page):
    press(page, "4" * 20)
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    page.keyboard.press("u")
    press(page, "2")
    saved(page)
    assert choices() == "4" * 19 + "2"


def test_both_answers_scroll_together_until_told_otherwise(page, project):
    Completion.objects.update(text=LONG * 3)
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    left, right = shown(page).locator(".answer").all()
    left.evaluate("(side) => { side.scrollTop = 200 }")
    expect(right).to_have_js_property("scrollTop", 200)
    press(page, "s")
    right.evaluate("(side) => { side.scrollTop = 90 }")
    press(page, "j")
    assert (
        left.evaluate("(side) => side.scrollTop") - right.evaluate("(side) => side.scrollTop")
        == 110
    )


def test_page_keys_turn_the_answers_where_the_page_itself_stands_still(page):
    Completion.objects.update(text=LONG * 3)
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    left = shown(page).locator(".answer").first
    height = left.evaluate("(side) => side.clientHeight")
    page.keyboard.press("PageDown")
    assert abs(left.evaluate("(side) => side.scrollTop") - 0.9 * height) <= 1
    page.keyboard.press("w")
    page.keyboard.press("PageUp")  # while somebody writes it is the editor's
    assert left.evaluate("(side) => side.scrollTop") > 0
    page.keyboard.press("Escape")
    for _ in range(2):  # the answers have less room beside an open reason
        page.keyboard.press("PageUp")
    assert left.evaluate("(side) => side.scrollTop") == 0


def test_labelling_works_without_scripts(chromium, project, address):
    some_tasks(project, 1)
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    page.locator("[name=login]").fill("ana")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="B is better").click()
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    assert choices() == "6"
    page.get_by_role("button", name="Undo").click()
    expect(shown(page)).to_be_visible()
    page.context.close()


def test_undo_after_a_reload_takes_back_the_last_answer(page):
    first = assignment(page)
    press(page, "5")
    saved(page)
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    press(page, "u")
    expect(page.locator(f"article:not([hidden])[data-assignment='{first}']")).to_be_visible()
    assert choices() == ""


@pytest.mark.slow
def test_the_next_pair_is_visible_within_a_tenth_of_a_second(page):
    page.evaluate(MEASURE)
    for _ in range(15):
        press(page, "3")
        saved(page)
    times = page.evaluate("times")
    assert len(times) == 15
    assert sorted(times)[-2] < 100


MEASURE = """() => {
  window.times = [];
  const shown = () => document.querySelector("article:not([hidden])");
  addEventListener("keydown", () => {
    const [start, before] = [performance.now(), shown()];
    const look = () => shown() !== before && shown()?.getBoundingClientRect().height
      ? times.push(performance.now() - start) : requestAnimationFrame(look);
    requestAnimationFrame(look);
  }, true);
}"""


def test_labels_given_offline_are_sent_on_return(page, context):
    context.set_offline(True)
    press(page, "267")
    expect(page.locator("#saved")).to_have_text("3 unsent")
    assert choices() == ""
    context.set_offline(False)
    saved(page)
    assert choices() == "267"


def test_labels_given_offline_survive_a_closed_tab(page, context, address):
    context.set_offline(True)
    press(page, "53")
    page.close()
    context.set_offline(False)
    again = context.new_page()
    again.goto(address)
    saved(again)
    assert choices() == "53"


def test_labels_given_while_signed_out_are_sent_after_signing_in(page, context, address):
    context.clear_cookies()
    press(page, "6")
    expect(page.get_by_text("signed out")).to_be_visible()
    page.goto(address)
    sign_in(page)
    saved(page)
    assert choices() == "6"


def test_no_key_fires_while_somebody_types_a_reason(page):
    press(page, "w")
    page.keyboard.type("A says 1 thing; B u x g")
    assert choices() == ""
    page.keyboard.press("Escape")
    press(page, "2")
    saved(page)
    assert Label.objects.get().rationale == "A says 1 thing; B u x g"


def test_a_typed_reason_survives_a_reload(page):
    press(page, "w")
    page.keyboard.type("half a thou")
    page.reload()
    expect(page.locator("#rationale")).to_have_value("half a thou")


def test_a_skipped_pair_gives_way_to_the_next(page):
    first = assignment(page)
    press(page, "x")
    expect(page.get_by_role("dialog", name="Why skip this task?")).to_be_visible()
    page.keyboard.press("4")
    saved(page)
    assert assignment(page) != first
    skipped = Assignment.objects.get(pk=first)
    assert (skipped.state, skipped.skip_reason) == (Assignment.State.SKIPPED, "upsetting")
    assert choices() == ""


def test_flags_go_with_the_deciding_key(page):
    press(page, "f")
    page.keyboard.press("Space")
    press(page, "4")
    saved(page)
    assert Label.objects.get().flags == ["harmful"]


def test_a_pair_lost_to_somebody_else_is_replaced(page, project):
    first = Assignment.objects.get(pk=assignment(page))
    overdue(first)
    expire_leases()
    assert queue.claim(project, a_user(project)).task == first.task
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_text("somebody else")).to_be_visible()
    assert assignment(page) != str(first.pk)


def test_the_sheets_open_by_key_and_stop_the_choices(page):
    press(page, "?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    press(page, "2")
    saved(page)
    assert choices() == "2"


def test_a_phone_shows_both_answers_and_the_scale_without_sideways_scroll(page):
    page.set_viewport_size({"width": 360, "height": 740})
    expect(shown(page).locator("[data-side=left]")).to_be_visible()
    expect(shown(page).locator("[data-side=right]")).to_be_hidden()
    page.get_by_text("B", exact=True).locator("visible=true").last.click()
    expect(shown(page).locator("[data-side=right]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("button", name="B is much better").click()
    saved(page)
    assert choices() == "7"


@cases("scheme", ["light", "dark"])
@cases("width", [1280, 360])
def test_the_page_is_accessible(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme)
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations.map((each) => each.id))")
    assert found == []


def test_hostile_answers_stay_text(project, browser_page, address):
    asked = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.on("dialog", lambda dialog: asked.append("dialog"))
    some_tasks(project, 1, texts=(HOSTILE, "Short."))
    browser_page.goto(address)
    sign_in(browser_page)
    expect(shown(browser_page).get_by_text("still here").first).to_be_visible()
    browser_page.wait_for_load_state("networkidle")
    assert not [url for url in asked if not url.startswith(address.split("/p/")[0])]
    assert browser_page.evaluate("window.fired") is None


HOSTILE = """<script>window.fired = 1</script></script><img src=x onerror="window.fired = 1">
<svg onload="window.fired = 1"></svg><iframe srcdoc="<script>parent.fired = 1</script>"></iframe>
<div hx-post="/accounts/logout/" hx-trigger="load">x</div></article></main>
[click](javascript:window.fired=1) ![beacon](https://example.org/beacon.png) still here"""
