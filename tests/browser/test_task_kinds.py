"""Each kind of task in a real browser, by keyboard alone."""

import pytest
from django.db.models import F
from playwright.sync_api import expect

from tests.browser.test_labeling import AXE, address, ana, press, saved, shown
from tests.browser.test_toy_tasks import opened
from tests.factories import a_completion, a_prompt
from webapp.labeling.kinds import kind_named
from webapp.labeling.models import Label, Task
from webapp.labeling.reviews import ask_for_reviews
from webapp.labeling.services import Ask, create_tasks
from webapp.projects.models import PromptStanding
from webapp.projects.services import set_reviews

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["address", "ana"]  # fixtures


@pytest.fixture
def page(project, context, browser_page, address, ana):
    """Opens the label page once there are tasks of a kind about these answers, in this order."""

    def page(kind, *answers):
        for texts in answers:
            prompt = a_prompt(project, split="train")
            answers = [a_completion(prompt, text) for text in texts]
            asks = kind_named(kind).ask(answers)
            create_tasks(project, kind, [Ask(prompt.pk, items) for items in asks], need=1)
        Task.objects.update(flip=0, key=F("pk"))
        return opened(browser_page, context, address, ana)

    return page


def fits(page):
    """Nothing is off the side of a phone, and nothing is in the way of anybody."""
    page.evaluate(AXE.read_text())
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        found = page.evaluate("axe.run().then((one) => one.violations.map((each) => each.id))")
        assert found == []


def test_an_order_is_put_together_by_keys(page):
    page = page("rank", ["Good.", "Fair.", "Bad.", "So so."], ["Yes.", "No.", "Well."])
    send = page.locator("[data-named-key=Enter]:visible")
    placed = page.locator("[data-placed]")
    press(page, ["3", "Enter"])
    expect(page.locator("#hint")).to_have_text("Place A, B, D first")
    press(page, ["1", "Backspace", "Backspace", "1", "2", "=", "=", "4", "="])
    expect(page.locator("[data-said]")).to_have_text("A > B = D")
    fits(page)
    placed.get_by_role("button", name="D is worse than B").press("Enter")
    placed.get_by_role("button", name="D up").press("Enter")
    page.keyboard.press("3")
    expect(page.locator("[data-said]")).to_have_text("A > D > B > C")
    page.reload()
    expect(page.locator("[data-said]")).to_have_text("A > D > B > C")
    press(page, ["Enter", "u"])
    expect(page.locator("[data-said]")).to_have_text("A > D > B > C")
    placed.locator("li").nth(3).drag_to(placed.locator("li").nth(0))
    send.press("Enter")
    press(page, ["2", "1", "=", "3", "Enter"])
    saved(page)
    current = Label.objects.current().order_by("pk")
    assert [one.answer["ranking"] for one in current] == ["C>A>D>B", "A=B>C"]
    expect(shown(page)).to_have_count(0)


def test_an_answer_is_written_by_keys(page):
    page = page("demonstrate", [], [])
    press(page, ["Enter"])
    expect(page.locator("#hint")).to_have_text("Choose an answer first: nothing was answered")
    press(page, "e")
    page.keyboard.type("First ux?")
    fits(page)
    page.reload()
    expect(page.locator("#demonstrated")).to_have_value("First ux?")
    press(page, ["e", "End", "Enter", "!", "Control+Enter", "Escape", "u"])
    expect(page.locator("#demonstrated")).to_have_value("First ux?\n!")
    press(page, ["e", "Control+Enter"])
    page.keyboard.type("Second.")
    page.keyboard.press("Control+Enter")
    saved(page)
    current = Label.objects.current().order_by("pk")
    assert [one.answer["text"] for one in current] == ["First ux?\n!", "Second."]


def test_an_answer_is_edited_by_keys(page):
    page = page("edit", ["It is so, 因为 it is.", "<b>Good</b>"])
    box, told = page.locator("#edited"), page.locator("fieldset:not([hidden]) [data-told]")
    expect(box).to_have_value("It is so, 因为 it is.")
    press(page, ["Enter"])
    expect(told).to_contain_text("Nothing is changed")
    press(page, ["e", "Home"])
    page.keyboard.type("Maybe ")
    fits(page)
    changes = shown(page).locator("[data-changes]")
    assert changes.inner_html() == "<ins>Maybe </ins>It is so, 因为 it is."
    press(page, ["Escape", "1"])
    expect(told).to_contain_text("You changed the text")
    press(page, ["e", "Control+Enter", "Escape", "u"])
    expect(box).to_have_value("Maybe It is so, 因为 it is.")
    press(page, ["Enter"])
    expect(box).to_have_value("<b>Good</b>")
    expect(shown(page).locator("[data-changes]")).to_be_hidden()
    press(page, "1")
    saved(page)
    current = Label.objects.current().order_by("pk")
    assert [one.answer for one in current] == [
        {"text": "Maybe It is so, 因为 it is.", "good": None},
        {"text": None, "good": "yes"},
    ]


def test_a_prompt_is_reviewed_by_keys(page, project):
    set_reviews(project, reviews=1, accepts=1)
    for _ in range(3):
        ask_for_reviews(a_prompt(project, standing=PromptStanding.WAITING))
    page = page("review")
    told = page.locator("fieldset:not([hidden]) [data-told]")
    press(page, ["2"])
    expect(told).to_have_text("Say why it is rejected, then send it.")
    page.keyboard.type("Two in 1.")
    fits(page)
    page.keyboard.press("Control+Enter")
    press(page, ["Escape", "1"])
    words = page.get_by_label("The words of the prompt")
    expect(words).to_have_value(Task.objects.order_by("key").last().prompt.text)
    words.fill("Why?")
    press(page, ["Escape", "1"])
    saved(page)
    current = Label.objects.current().order_by("pk")
    told = [(one.answer["decision"], one.answer["reason"], one.answer["text"]) for one in current]
    assert told == [("reject", "Two in 1.", ""), ("accept", "", ""), ("accept", "", "Why?")]
    assert project.prompts.order_by("pk").last().text == "Why?"
    assert {one.standing for one in project.prompts.all()} == {"accepted", "rejected"}
