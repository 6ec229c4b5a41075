"""Snapshots as people choose, freeze and compare them, and a person who is erased from them."""

from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.factories import a_label, a_project, a_user, some_labels, some_tasks
from webapp.accounts.roles import Role
from webapp.datasets.services import freeze_snapshot
from webapp.labeling.kinds import TASK_KINDS

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.timeout(240)]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PASSWORD = "long-enough-to-type"  # of a test
PATIENCE = 60_000  # ms


@pytest.fixture
def lab(transactional_db):
    return a_project(name="Lab")


@pytest.fixture
def page(shared, lab, browser_page):
    """An admin's browser, signed in, on a list of snapshots."""
    machine = shared.only("broker", "worker-short", "web")
    a_user(lab, Role.ADMIN, username="ada", password=PASSWORD)
    browser_page.goto(
        f"{machine.url}/accounts/login/?next={reverse('datasets:snapshots', args=[lab.pk])}"
    )
    browser_page.get_by_label("Username").fill("ada")
    browser_page.get_by_label("Password").fill(PASSWORD)
    browser_page.get_by_role("button", name="Sign in").click()
    browser_page.wait_for_url(lambda url: "login" not in url)
    return browser_page


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


@pytest.mark.slow
def test_some_labels_are_counted_frozen_and_compared_and_a_person_is_erased(page, lab):
    ana = a_user(lab, Role.ANNOTATOR, username="ana")
    some_labels(some_tasks(lab, 3))
    freeze_snapshot(lab)
    a_label(some_tasks(lab)[0], annotator=ana)
    page.reload()
    page.get_by_text("Only some of the labels").click()
    page.get_by_label("Annotators", exact=True).fill("ana")
    page.get_by_label(str(TASK_KINDS["compare"].title), exact=True).check()
    expect(page.locator("#wanted")).to_have_text("It would take in 1 label.")
    assert violations(page) == []
    page.get_by_role("button", name="Freeze a snapshot").click()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    page.get_by_text("All that was measured").click()
    assert violations(page) == []
    page.get_by_role("link", name="What changed").click()
    expect(page.get_by_text("Still there, and now left out: 3")).to_be_visible()
    assert violations(page) == []
    page.goto(page.url.split("/snapshots/")[0] + "/erasures/?name=ana")
    page.get_by_label("Type the name once more").fill("ana")
    assert violations(page) == []
    page.get_by_role("button", name="Erase it for good").click()
    page.get_by_role("link", name="See where copies are left").click(timeout=PATIENCE)
    assert violations(page) == []
    page.get_by_role("link", name="Snapshot 2").click()
    expect(page.get_by_text("It holds data of an erased person.")).to_be_visible()
    assert violations(page) == []
    assert lab.labels.count() == 3
