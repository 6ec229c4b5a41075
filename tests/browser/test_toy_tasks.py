"""Toy kinds of task in a real browser: labelled, undone, frozen, and learned from."""

import math

import pytest
from django.conf import settings
from playwright.sync_api import expect

from alignment.seam.events import StepDone
from tests.alignment.conftest import WORDS
from tests.alignment.rewarding import run
from tests.browser.test_labeling import address, ana, press, saved, shown
from tests.factories import some_tasks
from tests.toys.adding import add_kind
from tests.webapp.addresses import session_of
from tests.webapp.labeling.kinds.test_best import best, threes
from tests.webapp.labeling.kinds.test_write import asked
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import labels_of
from webapp.labeling.models import Label, Task

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["add_kind", "address", "ana", "asked", "best"]  # fixtures


def opened(page, context, address, person):
    """The label page of this person."""
    site = address.split("/p/")[0]
    context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": session_of(person), "url": site}]
    )
    page.goto(address)
    page.wait_for_selector("#dock[data-ready]")
    return page


@pytest.mark.slow
def test_it_is_labelled_frozen_and_learned_from(
    best, project, context, browser_page, address, ana, tmp_path
):
    threes(project, 5)
    Task.objects.filter(pk=some_tasks(project)[0].pk).update(priority=101)  # a pair comes last
    page = opened(browser_page, context, address, ana)
    expect(page.get_by_text("One of 3 answers")).to_be_visible()
    expect(page.get_by_role("button", name="A is better")).to_be_hidden()
    assert shown(page).locator(".answer").count() == 3
    press(page, "12u33")
    page.get_by_role("button", name="B is the best").click()
    press(page, "w")
    page.keyboard.type("once more")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("button", name="A is better")).to_be_visible()
    page.keyboard.press("Escape")
    press(page, "6")
    saved(page)
    said = Label.objects.current().order_by("pk")
    assert [label.answer for label in said if label.task.kind == "best"] == [
        {"best": best} for best in "13322"
    ]
    assert [label.answer for label in said if label.task.kind == "compare"] == [{"choice": 6}]
    learned = list(labels_of(freeze_snapshot(project).artifact, "train"))
    pairs = [(one.chosen, one.rejected) for one in learned if one.chosen in WORDS]
    assert len(pairs) == 10
    chosen = {label.shown[label.said.place].text for label in said if label.task.kind == "best"}
    assert {better for better, _ in pairs} == chosen
    steps = [
        event for event in run(tmp_path / "run", learned, epochs=1) if isinstance(event, StepDone)
    ]
    assert steps
    assert all(math.isfinite(step.metrics["loss"]) for step in steps)


def test_it_is_written_undone_and_written_again(asked, context, browser_page, address, ana):
    page = opened(browser_page, context, address, ana)
    box, send = writing(page), page.get_by_role("button", name="Send it")
    send.click()
    expect(page.get_by_text("Choose an answer first")).to_be_visible()
    box.fill("With pleasure, 1 2 u.")
    page.get_by_label("Short").check()
    page.get_by_label("Kind", exact=True).check()
    send.click()
    expect(box).to_have_value("")
    expect(page.get_by_label("Short")).not_to_be_checked()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    press(page, "u")
    expect(box).to_have_value("With pleasure, 1 2 u.")
    expect(page.get_by_label("Kind", exact=True)).to_be_checked()
    page.get_by_label("Short").uncheck()
    send.click()
    saved(page)
    assert Label.objects.current().get().answer == {
        "text": "With pleasure, 1 2 u.",
        "tags": ["kind"],
    }


def writing(page):
    return page.locator("[data-kind=write] [name=text]")


@pytest.mark.slow
def test_what_is_being_written_survives_a_reload_and_comes_to_another_browser(
    asked, context, browser_page, chromium, address, ana
):
    page = opened(browser_page, context, address, ana)
    writing(page).fill("half an answer")
    page.get_by_label("Short").check()
    page.reload()
    expect(writing(page)).to_have_value("half an answer")
    expect(page.get_by_label("Short")).to_be_checked()
    with page.expect_response(lambda told: "and more" in (told.request.post_data or "")):
        writing(page).fill("half an answer, and more")
    elsewhere = chromium.new_context()
    other = opened(elsewhere.new_page(), elsewhere, address, ana)
    expect(writing(other)).to_have_value("half an answer, and more")
    expect(other.get_by_label("Short")).to_be_checked()
    elsewhere.close()


@pytest.mark.slow
def test_undo_after_a_reload_brings_what_was_written_back(
    asked, context, browser_page, address, ana
):
    page = opened(browser_page, context, address, ana)
    writing(page).fill("With pleasure.")
    page.get_by_label("Kind", exact=True).check()
    page.get_by_role("button", name="Send it").click()
    saved(page)
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    expect(writing(page)).to_have_value("")
    page.get_by_role("button", name="Undo").click()
    expect(writing(page)).to_have_value("With pleasure.")
    expect(page.get_by_label("Kind", exact=True)).to_be_checked()


def test_ctrl_enter_sends_what_is_written_now(asked, context, browser_page, address, ana):
    page = opened(browser_page, context, address, ana)
    writing(page).fill("one")
    page.get_by_role("button", name="Send it").click()
    writing(page).fill("two")
    page.locator("#why summary").click()
    page.locator("#rationale").fill("because")
    page.keyboard.press("Control+Enter")
    saved(page)
    assert [label.answer["text"] for label in Label.objects.order_by("pk")] == ["one", "two"]


@pytest.mark.slow
def test_words_of_two_browsers_are_both_shown(asked, context, browser_page, chromium, address, ana):
    page = opened(browser_page, context, address, ana)
    elsewhere = chromium.new_context()
    other = opened(elsewhere.new_page(), elsewhere, address, ana)
    with other.expect_response("**/draft/"):
        writing(other).fill("from the phone")
    with page.expect_response("**/draft/"):
        writing(page).fill("from the desk")
    expect(page.locator("#other")).to_contain_text("from the phone")
    expect(writing(page)).to_have_value("from the desk")
    elsewhere.close()
