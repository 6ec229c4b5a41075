"""Kinds of task whose form a project composes, in a real browser: by keyboard alone, and without scripts."""

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_labeling import address, ana, press, saved, shown
from tests.browser.test_task_kinds import fits, page
from tests.factories import tasks_of
from tests.webapp.addresses import session_of
from webapp.labeling.composition import Attribute, Composition
from webapp.labeling.models import Label
from webapp.projects.models import Project

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["address", "ana", "page"]  # fixtures


def compose(project, **chosen):
    """Ask so, from the first page on."""
    form = Composition(**chosen).model_dump(mode="json", exclude_defaults=True)
    Project.objects.filter(pk=project.pk).update(composition=form)


def answers():
    return [label.answer for label in Label.objects.current().order_by("pk")]


def test_a_thumb_takes_one_key(page):
    page = page("thumbs", ["Good.", "Bad.", "Fair."])
    fits(page)
    press(page, "12u12")
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    saved(page)
    assert answers() == [{"thumb": "up"}, {"thumb": "up"}, {"thumb": "down"}]


def test_flags_are_set_by_digits_and_sent_by_enter(page, project):
    compose(project, flags=["false", "off_topic"])
    page = page("flags", ["Good.", "Bad.", "Fair."])
    fits(page)
    press(page, ["Enter"])
    expect(page.locator("#hint")).to_contain_text("Choose an answer first")
    press(
        page, ["1", "2", "1", "Enter", "1", "0"]
    )  # one is taken back; none takes what is set back
    press(page, ["2", "Enter"])
    page.keyboard.press("u")
    expect(page.locator("[name=holds][value=off_topic]")).to_be_checked()
    press(page, ["1", "Enter"])
    saved(page)
    assert answers() == [
        {"holds": ["off_topic"], "none": ""},
        {"holds": [], "none": "yes"},
        {"holds": ["false", "off_topic"], "none": ""},
    ]


def test_digits_go_from_scale_to_scale_and_the_last_one_sends(page, project):
    compose(project, attributes=[Attribute(name="Tone", low="harsh", high="kind", levels=3)])
    page = page("rate", ["Good.", "Fair."], ["Yes.", "No.", "Perhaps.", "Well."], ["One."])
    marks = page.locator(".controls:not([hidden]) .mark:visible")
    expect(marks).to_have_count(4)
    press(page, ["6", "9", "Enter"])  # no scale has a nine
    expect(page.locator("#hint")).to_contain_text("Mark A: Tone first")
    fits(page)
    page.set_viewport_size({"width": 1280, "height": 740})
    press(page, "3")
    page.get_by_role("radiogroup", name="B: Quality").get_by_role("radio").nth(1).focus()
    press(page, "4")
    expect(
        page.get_by_role("radiogroup", name="B: Tone").get_by_role("radio").first
    ).to_be_focused()
    press(page, ["ArrowRight", "3"])
    expect(marks).to_have_count(8)
    press(page, "71")
    page.reload()  # what is marked is a draft
    page.wait_for_selector("#dock[data-ready]")
    expect(marks.locator(":checked")).to_have_count(2)
    press(page, "625341")
    expect(marks).to_have_count(2)
    press(page, "u")
    expect(marks.locator(":checked")).to_have_count(8)
    press(page, ["Enter", "1", "2"])
    saved(page)
    assert [answer["marks"] for answer in answers()] == [
        ["A:quality:6/7", "A:Tone:3/3", "B:quality:4/7", "B:Tone:3/3"],
        [
            *("A:quality:7/7", "A:Tone:1/3", "B:quality:6/7", "B:Tone:2/3"),
            *("C:quality:5/7", "C:Tone:3/3", "D:quality:4/7", "D:Tone:1/3"),
        ],
        ["A:quality:1/7", "A:Tone:2/3"],
    ]


@pytest.mark.slow
def test_without_scripts_every_form_is_a_plain_one(project, chromium, address, ana):
    for kind, size in (("rate", 2), ("thumbs", 1), ("demonstrate", 0)):
        tasks_of(project, kind, size=size)
    context = chromium.new_context(java_script_enabled=False)
    site = address.split("/p/")[0]
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(ana), "url": site}
    context.add_cookies([cookie])
    page = context.new_page()
    page.goto(address)
    for _ in range(3):
        for letter, mark in (("A", 2), ("B", 7)):
            if (scale := page.get_by_role("radiogroup", name=f"{letter}: Quality")).count():
                scale.locator("label").nth(mark - 1).click()
        if (box := page.locator("#demonstrated:visible")).count():
            box.fill("So it is.\nYes.")
        thumb = page.locator("button[name=thumb][value=down]:visible")
        (thumb if thumb.count() else page.get_by_role("button", name="Send")).click()
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    told = {label.task.kind: label.answer for label in Label.objects.current()}
    assert told == {
        "rate": {"marks": ["A:quality:2/7", "B:quality:7/7"]},
        "thumbs": {"thumb": "down"},
        "demonstrate": {"text": "So it is.\nYes."},
    }
    context.close()


def test_a_reason_that_is_asked_for_comes_before_the_answer(page, project):
    compose(project, rationale="asked", points=2)
    page = page("compare", ["Good.", "Bad."])
    press(page, "2")
    expect(page.locator("#rationale")).to_be_focused()
    page.keyboard.type("Kinder.")
    page.keyboard.press("Escape")
    press(page, "2")
    saved(page)
    (label,) = Label.objects.current()
    assert (label.answer, label.rationale) == ({"choice": 6}, "Kinder.")
    expect(shown(page)).to_have_count(0)


@pytest.mark.slow
def test_a_form_is_composed_on_its_page(project, context, browser_page, address, researcher):
    site = address.split("/p/")[0]
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(researcher), "url": site}
    context.add_cookies([cookie])
    page = browser_page
    page.goto(site + reverse("labeling:form", args=[project.pk]))
    page.get_by_label("Points of a comparison").select_option("2")
    page.get_by_label("Answer to flag").uncheck()
    page.get_by_role("group", name="Scale 1").get_by_label("Name").fill("Tone")
    page.get_by_role("group", name="Scale 1").get_by_label("Marks from 1 to").fill("5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("This is version 2")).to_be_visible()
    fits(page)
    form = Composition.model_validate(Project.objects.get(pk=project.pk).composition)
    assert (form.points, form.attributes) == (2, (Attribute(name="Tone", levels=5),))
    assert (form.offers("rate"), form.offers("flags")) == (True, False)
