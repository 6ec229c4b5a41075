"""A team behind nginx with TLS, as the guide has it: set up, invite, label, watch a run, all in Chromium."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect, sync_playwright

from tests import nginx
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.factories import a_run, some_tasks
from tests.stand_in import SLOW
from webapp.labeling.models import Label
from webapp.projects.models import Project
from webapp.runs.models import State

pytestmark = [pytest.mark.browser, pytest.mark.prove, pytest.mark.timeout(300)]
PASSWORD = "long-enough-to-type"  # of a test


@pytest.fixture
def proxy(stack, tmp_path):
    """The whole stack as a team starts it, and nginx before it."""
    with nginx.before(tmp_path, stack.port) as proxy:
        stack.stand_in().more = {
            "ATTUNE_HTTPS": "1",
            "ATTUNE_HOSTS": nginx.NAME,
            "ATTUNE_PROXIES": "1",
        }
        stack.broker().worker().tend().web()
        yield proxy


@pytest.fixture
def browser(proxy):
    """A Chromium of its own, which knows where the name is."""
    if CHROMIUM is None:
        pytest.skip("browser: no Chromium")
    rules = f"--host-resolver-rules=MAP {nginx.NAME} 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        yield browser
        browser.close()


def window(browser):
    """Of a person of whom this browser knows nothing yet."""
    return browser.new_context(ignore_https_errors=True).new_page()


def fill(page, **fields):
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)


def set_up(page, proxy, link):
    """Make the first admin by the link, and a project."""
    page.goto(link)
    fill(page, Username="ada", Password=PASSWORD, Password_confirmation=PASSWORD)
    page.get_by_role("button", name="Create the account and sign in").click()
    page.goto(proxy.url + reverse("new_project"))
    fill(page, Name="Behind nginx")
    page.locator("main form button.primary").click()
    expect(page.get_by_role("heading", name="Behind nginx")).to_be_visible()
    return Project.objects.get()


def invite(page, proxy, project):
    """A link that an admin makes."""
    page.goto(proxy.url + reverse("members", args=[project.pk]))
    page.get_by_role("button", name="Make an invitation link").click()
    link = page.locator(".secret").inner_text()
    assert link.startswith(f"{proxy.url}/join/")
    return link


def join(page, link):
    """Become a member by a link."""
    page.goto(link)
    assert link.split("/")[4] not in page.url
    fill(page, Username="mia", Password=PASSWORD, Password_confirmation=PASSWORD)
    page.get_by_role("button", name="Create my account and join").click()
    expect(page.get_by_role("heading", name="Behind nginx")).to_be_visible()


def label(page, proxy, project):
    """Answer three tasks by keys."""
    page.goto(proxy.url + reverse("labeling:label", args=[project.pk]))
    for key in "162":
        page.wait_for_selector("#dock[data-ready]")
        page.keyboard.press(key)
    expect(page.get_by_text("Nothing to label now")).to_be_visible()
    expect(page.locator("#saved")).to_have_text("saved ✓")


def watch(page, proxy, run):
    """See a run come to its end, by itself."""
    page.goto(proxy.url + reverse("runs:detail", args=[run.project_id, run.pk]))
    expect(page.locator("figure[data-key=loss] details tbody tr")).to_have_count(10, timeout=60_000)
    expect(page.locator("main .badge").first).to_have_attribute("data-state", State.SUCCEEDED)


def test_a_team_sets_up_invites_labels_and_watches_a_run(stack, proxy, browser):
    admin, annotator = window(browser), window(browser)
    setup = stack.manage("setup_link", "--url", proxy.url).strip()
    project = set_up(admin, proxy, setup)
    link = invite(admin, proxy, project)
    join(annotator, link)
    project.min_visible_ms = 0
    project.save()
    some_tasks(project, 3)
    label(annotator, proxy, project)
    assert Label.objects.filter(annotator__username="mia").count() == 3
    watch(admin, proxy, a_run(project, seed=SLOW))
    written = proxy.logs() + stack.logs()
    assert 'POST /join/..."' in written
    for secret in (setup.split("/")[4], link.split("/")[4], PASSWORD):
        assert secret not in written
