"""What a run's page does by itself while somebody looks: curves that grow, and an end to it."""

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_rounds import violations
from tests.factories import a_run, a_user, run_at
from webapp.runs.models import Run, RunMetric, State

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# A page asks again as often as it says, by a clock that goes ten times as fast.
HURRIED = """const { setTimeout } = window;
window.setTimeout = (act, ms, ...more) => setTimeout(act, ms / 10, ...more);"""


@pytest.fixture
def running(project):
    run = run_at(a_run(project), state=State.RUNNING, epoch=1, total_steps=10)
    return report(run, 1, 3.0)


@pytest.fixture
def page(live_server, project, client, context, browser_page, running):
    client.force_login(a_user(project))
    name = settings.SESSION_COOKIE_NAME
    cookie = {"name": name, "value": client.cookies[name].value, "url": live_server.url}
    context.add_cookies([cookie])
    browser_page.add_init_script(HURRIED)
    browser_page.goto(live_server.url + reverse("runs:detail", args=[project.pk, running.pk]))
    return browser_page


def report(run, step, loss):
    RunMetric.objects.create(run=run, key="loss", step=step, epoch=run.epoch, value=loss)
    return run_at(run, step=step)


def rows(page):
    return page.locator("figure[data-key=loss] details tbody tr")


def test_a_curve_grows_while_the_run_works(page, running):
    expect(rows(page)).to_have_count(1)
    report(running, 2, 2.0)
    expect(rows(page)).to_have_count(2)
    expect(page.locator("figure[data-key=loss] canvas")).to_be_visible()
    expect(page.get_by_text("Step 2 of 10")).to_be_visible()
    report(running, 3, 0.0000785)
    expect(rows(page).nth(2)).to_contain_text("7.85e-5")
    expect(page.locator("figure[data-key=loss] .u-value").nth(1)).to_have_text("7.85e-5")


@pytest.mark.slow
def test_the_bar_of_a_phase_moves_while_it_lasts(page, running):
    counted = {"phase": "measuring", "phase_total": 256.0, "phase_unit": "completions"}
    run_at(running, **counted, phase_done=64.0, phase_seconds=10.0)
    bar = page.get_by_role("progressbar", name="Progress of measuring")
    expect(bar).to_have_attribute("value", "64.0")
    expect(page.get_by_text("64 of 256 completions, about 30 s left")).to_be_visible()
    run_at(running, phase_done=128.0)
    expect(bar).to_have_attribute("value", "128.0")
    run_at(running, phase="training", phase_total=0.0)
    expect(bar).to_have_count(0)


@pytest.mark.slow
def test_a_run_that_begins_again_draws_its_curve_anew(page, running):
    report(running, 2, 2.0)
    expect(rows(page)).to_have_count(2)
    report(run_at(running, epoch=2), 1, 5.0)
    expect(rows(page).first).to_contain_text("5")
    expect(rows(page)).to_have_count(1)


@pytest.mark.slow
def test_a_population_draws_a_curve_of_every_agent(page, running):
    Run.objects.filter(pk=running.pk).update(kind="population")
    for agent, value in (("reverse_kl", 0.5), ("le_cam", 0.25)):
        key = f"kl/reference@{agent}"
        RunMetric.objects.create(run=running, key=key, step=1, epoch=1, value=value)
    page.reload()
    figure = page.locator("figure[data-key='kl/reference']")
    expect(figure.locator(".u-series")).to_have_count(3)
    expect(figure.locator(".u-series").nth(2)).to_be_visible()
    key = "kl/reference@le_cam"
    RunMetric.objects.create(run=running, key=key, step=2, epoch=1, value=0.125)
    report(running, 2, 2.0)
    expect(figure.locator("details tbody tr").nth(1).locator("td")).to_have_text(
        ["2", "0.125", "—"]
    )


def test_the_page_comes_to_rest_when_the_run_is_over(page, running):
    expect(page.locator("#live")).to_have_attribute("hx-trigger", "every 2s")
    run_at(running, state=State.SUCCEEDED, summary={"loss": 3.0})
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    assert page.locator("[hx-trigger]").count() == 0
    assert violations(page) == []


def polled(page, running):
    """Wait until the page has asked again and shown what is new."""
    page.evaluate("document.querySelector('#live, #queue').dataset.old = '1'")
    run_at(running, phase_seconds=running.phase_seconds + 1)
    expect(page.locator("[data-old]")).to_have_count(0, timeout=20_000)


def test_a_refresh_leaves_the_keyboard_where_it_is(page, running):
    page.locator("#act-cancel").focus()
    polled(page, running)
    expect(page.locator("#act-cancel")).to_be_focused()


@pytest.mark.slow
def test_a_refresh_leaves_a_table_scrolled_where_it_is(page, live_server, project, running):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(live_server.url + reverse("runs:list", args=[project.pk]))
    page.evaluate("document.querySelector('#queue-table').scrollLeft = 40")
    polled(page, running)
    assert page.evaluate("document.querySelector('#queue-table').scrollLeft") == 40
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.slow
def test_a_page_says_in_the_servers_words_why_it_may_be_old(page, running):
    away = {"error": "The database cannot be reached just now.", "kind": "database_away"}
    page.route("**/runs/*/", lambda route: route.fulfill(status=503, json=away))
    expect(page.locator("#stale")).to_have_text(away["error"], timeout=10_000)
    page.unroute("**/runs/*/")
    report(running, 2, 2.0)
    expect(page.locator("#stale")).to_have_count(0, timeout=10_000)


def test_a_page_that_is_cut_off_says_so_until_it_is_not(page, running):
    page.route("**/runs/*/", lambda route: route.abort())
    expect(page.locator("#stale")).to_contain_text("what it shows may be old", timeout=10_000)
    page.unroute("**/runs/*/")
    report(running, 2, 2.0)
    expect(page.get_by_text("Step 2 of 10")).to_be_visible(timeout=10_000)
    expect(page.locator("#stale")).to_have_count(0)


def test_whoever_was_signed_out_meanwhile_is_asked_to_sign_in(page, context):
    context.clear_cookies()
    expect(page.get_by_role("button", name="Sign In")).to_be_visible(timeout=10_000)
    assert "/accounts/login/" in page.url


def test_what_cannot_be_undone_is_asked_first(page, running):
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator("#act-cancel").click()
    assert "What it has computed so far is lost" in asked[0]
    assert run_at(running).state == State.RUNNING
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("#act-cancel").click()
    expect(page.locator("#live")).to_contain_text("cancelling")
