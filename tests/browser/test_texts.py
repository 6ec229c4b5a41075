"""What a person sees of a text, in a real browser: both views, earlier turns, links, long and hostile ones."""

from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.cases import cases
from tests.factories import a_user, some_tasks
from tests.webapp.addresses import session_of
from tests.webapp.rendering.oracle import unshown
from tests.webapp.rendering.test_hostile import RUNS
from tests.webapp.rendering.texts import made_up
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.labeling.models import Task
from webapp.projects.models import Prompt
from webapp.rendering.render import render
from webapp.rendering.written import written

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RICH = "# Head\n\n1969. Apollo 11 landed\n\n**bold** [text](https://e.org/a) \\(x^2\\)\n\n```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1|2|"
TURNS = [
    {"role": "system", "content": "You are **helpful**."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes? " * 30},
    {"role": "user", "content": "The last question?"},
]


@pytest.fixture
def ana(project):
    return a_user(project, role=Role.ANNOTATOR, username="ana")


@pytest.fixture
def open_page(live_server, project, ana, context, browser_page):
    """Opens the label page on pairs of these answers."""

    def opened(*texts, number=3, turns=None):
        some_tasks(project, number, texts=texts)
        if turns:
            Prompt.objects.filter(project=project).update(messages=turns)
        cookie = {
            "name": settings.SESSION_COOKIE_NAME,
            "value": session_of(ana),
            "url": live_server.url,
        }
        context.add_cookies([cookie])
        browser_page.goto(live_server.url + reverse("labeling:label", args=[project.pk]))
        browser_page.wait_for_selector("#dock[data-ready]")
        return browser_page

    return opened


def shown(page):
    return page.locator("article:not([hidden])")


def test_one_key_shows_what_was_written_and_is_kept_for_the_person(open_page):
    page = open_page("**bold**", "**bold** too")
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    bold = shown(page).locator("strong").first
    expect(bold).to_be_visible()
    with page.expect_response("**/preferences/raw/"):
        page.keyboard.press("r")
    expect(bold).to_be_hidden()
    expect(shown(page).get_by_text("**bold**", exact=True)).to_be_visible()
    assert len(sent) == 1
    assert User.objects.get(username="ana").raw_view
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    expect(shown(page).get_by_text("**bold**", exact=True)).to_be_visible()
    with page.expect_response("**/preferences/raw/"):
        shown(page).get_by_role("button", name="As written").click()
    expect(shown(page).locator("strong").first).to_be_visible()


def test_the_view_changes_without_a_network_and_holds_for_the_next_pair(open_page, context):
    page = open_page("**bold**", "**bold** too")
    context.set_offline(True)
    page.keyboard.press("r")
    expect(shown(page).locator("strong").first).to_be_hidden()
    first = shown(page).get_attribute("data-assignment")
    page.evaluate("import('/static/label-cards.js').then((cards) => cards.take(cards.shown()))")
    expect(page.locator(f"article[data-assignment='{first}']")).to_have_count(0)
    expect(shown(page).locator("strong").first).to_be_hidden()
    context.set_offline(False)


def test_a_browser_that_stores_nothing_folds_all_the_same(open_page):
    page = open_page("a", "b", turns=TURNS)
    page.evaluate(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('refused') } })"
    )
    page.keyboard.press("c")
    expect(shown(page).get_by_text("Hello?", exact=True).first).to_be_hidden()


def test_earlier_turns_are_shown_and_one_key_folds_them_for_the_session(open_page):
    page = open_page("a", "b", turns=TURNS)
    for text in ("You are helpful.", "Hello?", "The last question?"):
        expect(shown(page).get_by_text(text, exact=True).first).to_be_visible()
    expect(shown(page).get_by_text("System prompt")).to_be_visible()
    page.keyboard.press("c")
    expect(shown(page).get_by_text("Hello?", exact=True).first).to_be_hidden()
    expect(shown(page).get_by_text("The last question?", exact=True).first).to_be_visible()
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    expect(shown(page).get_by_text("Hello?", exact=True).first).to_be_hidden()
    shown(page).locator(".earlier > summary").click()
    expect(shown(page).get_by_text("Hello?", exact=True).first).to_be_visible()


@pytest.mark.parametrize("width", [1280, 360])
@cases("long", [{0, 1, 2, 3}, {3}, {2}, set()])
def test_the_last_turn_and_both_answers_are_there_whatever_is_long(open_page, width, long):
    turns = [
        turn | {"content": turn["content"] * (60 if n in long else 1)}
        for n, turn in enumerate(TURNS)
    ]
    page = open_page(RICH * 9, "Short.", turns=turns)
    page.set_viewport_size({"width": width, "height": 800})
    size = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert size == [width, 800]
    for part in (shown(page).locator(".asked"), shown(page).locator(".answer").first):
        box = part.bounding_box()
        assert box["height"] > 60
        assert box["y"] + box["height"] < page.locator("#dock").bounding_box()["y"]


@cases("scheme", ["light", "dark"])
@cases("width", [1280, 360])
def test_rich_texts_are_accessible(open_page, width, scheme):
    page = open_page(RICH, "a\u202eb and [x](https://google.com@evil.org)", turns=TURNS)
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme)
    for _ in range(2):
        page.evaluate(AXE.read_text())
        found = page.evaluate(
            "axe.run().then((result) => result.violations.map((each) => each.id))"
        )
        assert found == []
        page.keyboard.press("r")


@pytest.mark.slow
def test_a_browser_reads_the_pages_as_the_proof_does(open_page):
    texts = [made_up(seed) for seed in range(80)]
    page = open_page("a", "b")
    read = "(html) => { const box = document.createElement('div'); box.innerHTML = html; return box.innerHTML }"
    whole = "(html) => { const box = document.createElement('div'); box.innerHTML = html; return box.textContent }"
    for text in texts:
        if html := render(text).html:
            assert unshown(text, page.evaluate(read, html)) == ""
        assert page.evaluate(whole, written(text)) == text
    for text in ("\n\na", "a\rb\r\nc", "a\u202e\x0c\x85\u2028b", " \t a  ", "x\n" * 9000):
        assert page.evaluate(whole, written(text)) == text


def test_numbers_of_lists_are_seen(open_page):
    page = open_page("1969. Apollo\n\n1. a\n3. b", "7) x")
    seen = shown(page).locator(".answers").inner_text()
    assert [number for number in ("1969.", "1.", "3.", "7)") if number not in seen] == []


def test_hostile_texts_run_and_load_nothing_in_either_view(open_page, live_server, project):
    fires = [
        each.replace("alert(1)", "window.fired=1").replace("onerror=x", "onerror='window.fired=1'")
        for each in RUNS
    ]
    half = len(fires) // 2
    page = open_page(
        "\n\n".join(fires[:half]), "\n\n".join(fires[half:]) + "\n\n" + "\\(\\text{<img src=x>}\\)"
    )
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append("dialog"))
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    page.keyboard.press("r")
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith(live_server.url)] == []
    assert page.evaluate("window.fired") is None
    assert Task.objects.filter(done__gt=0).count() == 0
