"""Labelling when things go wrong: reloads, lost leases, two tabs, no network, no scripts."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_labeling import (
    PASSWORD,
    ana,
    assignment,
    choices,
    page,
    press,
    saved,
    sign_in,
)
from tests.cases import cases
from tests.factories import a_user, some_tasks
from tests.webapp.labeling.acts import overdue
from webapp.accounts.roles import Role
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Label, Task
from webapp.labeling.services import expire_leases

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["ana", "page"]  # fixtures
WORDS = "half a thought"


@pytest.fixture
def address(live_server, project, ana):
    return live_server.url + reverse("labeling:label", args=[project.pk])


@pytest.fixture
def plain(chromium, address):
    """A browser without scripts, signed in."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.locator("[name=login]").fill("ana")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "login" not in url)
    yield page
    context.close()


def write(page, words=WORDS):
    press(page, "w")
    page.keyboard.type(words)


def kept(page, act=lambda: None):
    """Wait until the server has taken a draft."""
    with page.expect_response(lambda answer: "/draft/" in answer.url and answer.status == 200):
        act()


def until(page, holds):
    """Wait for something that happens behind the page."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(25)
    raise AssertionError("it did not happen")


def ready(page):
    page.wait_for_selector("#dock[data-ready]")


def fold(page, name):
    page.locator(f"#{name} summary").click()


def reason(page):
    return page.locator("#rationale")


def flag(page):
    return page.get_by_label("Off topic", exact=True)


def test_a_draft_reaches_the_server_after_a_pause(page):
    kept(page, lambda: write(page))
    draft = Assignment.objects.get(pk=assignment(page)).draft
    assert draft["rationale"] == WORDS


@pytest.mark.slow
def test_a_draft_of_words_and_flags_is_there_in_another_browser(page, chromium, address):
    fold(page, "flags")
    flag(page).check()
    kept(page, lambda: write(page))
    other = chromium.new_context().new_page()
    other.goto(address)
    sign_in(other)
    expect(reason(other)).to_have_value(WORDS)
    expect(flag(other)).to_be_checked()
    other.context.close()


def test_a_draft_is_sent_when_the_page_is_left_before_the_pause(page, address):
    first = assignment(page)
    write(page)
    page.goto(address.replace("/label/", "/"))
    until(page, lambda: Assignment.objects.get(pk=first).draft)
    assert Assignment.objects.get(pk=first).draft["rationale"] == WORDS


@pytest.mark.slow
def test_a_draft_survives_a_lease_that_ran_out_and_came_back(page, project):
    first = assignment(page)
    kept(page, lambda: write(page))
    overdue(Assignment.objects.get(pk=first))
    expire_leases()
    page.evaluate("localStorage.clear()")
    page.reload()
    ready(page)
    expect(page.locator(f"article[data-assignment='{first}']")).to_have_count(1)
    assert Assignment.objects.get(pk=first).draft["rationale"] == WORDS


@pytest.mark.slow
def test_a_draft_written_offline_survives_a_reload(page, context):
    context.set_offline(True)
    write(page)
    page.keyboard.press("Escape")
    context.set_offline(False)
    page.reload()
    expect(reason(page)).to_have_value(WORDS)


@pytest.mark.slow
def test_a_draft_waits_while_an_undone_pair_is_in_front_of_it(page):
    press(page, "2")
    kept(page, lambda: write(page))
    press(page, ["Escape", "u"])
    expect(reason(page)).to_have_value("")
    press(page, "3")
    expect(reason(page)).to_have_value(WORDS)


@pytest.mark.slow
def test_undo_after_a_reload_brings_the_words_back(page):
    write(page)
    press(page, ["Escape", "5"])
    saved(page)
    page.reload()
    ready(page)
    press(page, "u")
    expect(reason(page)).to_have_value(WORDS)


def test_a_skip_can_be_called_off_and_then_keeps_the_draft(page):
    first = assignment(page)
    write(page)
    press(page, ["Escape", "x", "Escape"])
    expect(page.get_by_role("dialog", name="Why skip")).to_be_hidden()
    assert assignment(page) == first
    press(page, ["x", "1"])
    saved(page)
    skipped = Assignment.objects.get(pk=first)
    assert (skipped.skip_reason, skipped.draft["rationale"]) == ("unclear", WORDS)
    assert Task.objects.get(assignments=first).taken == 0


def test_an_answer_that_comes_too_late_is_kept(page, project):
    first = Assignment.objects.get(pk=assignment(page))
    write(page)
    overdue(first)
    expire_leases()
    assert queue.claim(project, a_user(project, Role.ANNOTATOR)).task == first.task
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    press(page, ["Escape", "6"])
    saved(page)
    late = Label.objects.get()
    assert (late.said.choice, late.rationale, late.counted) == (6, WORDS, False)


def test_a_second_tab_is_told_and_moved_on(page, context, address):
    second = context.new_page()
    second.goto(address)
    ready(second)
    first = assignment(second)
    assert assignment(page) == first
    press(page, "7")
    expect(second.get_by_text("in another tab")).to_be_visible()
    assert assignment(second) != first
    press(second, "1")
    saved(second)
    saved(page)
    assert choices() == "71"
    assert Label.objects.filter(superseded=True).count() == 0


@pytest.mark.slow
def test_two_tabs_finish_the_queue_together(page, context, address):
    second = context.new_page()
    second.goto(address)
    ready(second)
    for _ in range(10):
        press(page, "2")
        saved(page)
        press(second, "6")
        saved(second)
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    assert sorted(choices()) == ["2"] * 10 + ["6"] * 10
    assert Task.objects.filter(done=1).count() == 20


@cases("where", ["this tab", "another tab"])
def test_a_page_made_before_an_answer_was_stored_does_not_ask_for_it_again(
    page, context, address, where
):
    """The server makes the page, then stores the answer and says so, then the page arrives."""
    first, told = assignment(page), []
    late = page if where == "this tab" else context.new_page()
    page.on("requestfinished", lambda request: told.append(request.method))

    def answer_meanwhile(route):
        made = route.fetch()
        assert f'data-assignment="{first}"' in made.text()
        page.keyboard.press("7")
        until(late, lambda: "POST" in told)
        route.fulfill(response=made)

    late.route("**/label/", answer_meanwhile, times=1)
    late.goto(address)
    ready(late)
    assert assignment(late) != first
    press(late, "1")
    saved(late)
    assert choices() == "71"
    assert Label.objects.filter(superseded=True).count() == 0
    for left in ["7", ""]:
        press(late, "u")
        until(late, lambda left=left: choices() == left)
        saved(late)
    late.reload()
    ready(late)
    assert assignment(late) == first


def test_words_in_one_tab_show_up_in_the_other(page, context, address):
    second = context.new_page()
    second.goto(address)
    ready(second)
    write(page)
    expect(reason(second)).to_have_value(WORDS)


@pytest.mark.slow
def test_half_a_minute_without_a_server_loses_nothing(page, context, address):
    page.clock.install()
    page.reload()
    ready(page)
    context.route("**/label/", lambda route: route.abort())
    press(page, "267")
    expect(page.locator("#saved")).to_have_text("3 unsent")
    page.clock.fast_forward(30_000)
    expect(page.locator("#saved")).to_have_text("3 unsent")
    context.unroute("**/label/")
    page.reload()
    ready(page)
    saved(page)
    assert choices() == "267"


def test_the_page_sends_again_by_itself_when_the_server_is_back(page, context):
    page.clock.install()
    page.reload()
    ready(page)
    context.route("**/label/", lambda route: route.abort())
    press(page, "45")
    expect(page.locator("#saved")).to_have_text("2 unsent")
    context.unroute("**/label/")
    page.clock.fast_forward(31_000)
    saved(page)
    assert choices() == "45"


def test_without_scripts_a_pair_is_answered_with_words_and_flags(project, plain):
    some_tasks(project, 1)
    plain.reload()
    fold(plain, "flags")
    flag(plain).check()
    fold(plain, "why")
    reason(plain).fill(WORDS)
    plain.get_by_role("button", name="B is better").click()
    expect(plain.get_by_text("Nothing to label now")).to_be_visible()
    label = Label.objects.get()
    assert (label.said.choice, label.rationale, label.flags) == (6, WORDS, ["off_topic"])


@pytest.mark.slow
def test_without_scripts_an_answer_is_undone_with_its_words(project, plain):
    some_tasks(project, 1)
    plain.reload()
    fold(plain, "why")
    reason(plain).fill(WORDS)
    plain.get_by_role("button", name="Tie").click()
    plain.get_by_role("button", name="Undo").click()
    expect(reason(plain)).to_have_value(WORDS)
    assert choices() == ""


@pytest.mark.slow
def test_without_scripts_a_pair_is_skipped_with_a_reason(project, plain):
    some_tasks(project, 1)
    plain.reload()
    plain.get_by_role("button", name="Skip").click()
    plain.get_by_role("button", name="Too long").click()
    expect(plain.get_by_text("Nothing to label now")).to_be_visible()
    assert Assignment.objects.get().skip_reason == "too_long"


def test_without_scripts_the_guidelines_open(project, plain):
    project.guidelines = "Be **kind**."
    project.save()
    some_tasks(project, 1)
    plain.reload()
    plain.get_by_role("button", name="Guidelines").click()
    expect(plain.get_by_text("kind", exact=True)).to_be_visible()
