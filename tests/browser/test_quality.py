"""The pages of quality in a browser: nothing off screen, nothing that axe finds, a disagreement settled by keys."""

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.test_labeling import AXE
from tests.factories import a_label, a_user, some_proposals, some_tasks
from tests.webapp.addresses import session_of
from webapp.accounts.roles import Role
from webapp.labeling.models import Gold
from webapp.quality.jobs import measure_now
from webapp.quality.models import Allocation, ChosenTask

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("ATTUNE_SHOTS", "")  # a folder for pictures, to look at them
LOOKS = [(1280, "light"), (360, "dark"), (360, "light"), (1280, "dark")]


@pytest.fixture
def rita(context, live_server, researcher):
    named = {"name": settings.SESSION_COOKIE_NAME, "value": session_of(researcher)}
    context.add_cookies([named | {"url": live_server.url}])
    return context.new_page()


@pytest.fixture
def disputed(project):
    """A task about which two people disagree, among some of which they do not."""
    people = [a_user(project, Role.ANNOTATOR, username=name) for name in ("ana", "ben")]
    tasks = some_tasks(project, 4, need=2, texts=("Short.", "A longer answer to it."))
    for task in tasks:
        for person in people:
            first = task.order(task.assignments.count())[0] == 0
            a_label(task, 1 if first else 7, annotator=person, visible_ms=1500)
    a_label(task := some_tasks(project, need=2)[0], 2, annotator=people[0], rationale="Kinder.")
    a_label(task, 2, annotator=people[1])
    return task


def fits(page, name):
    """Nothing is off the side, and nothing is in anybody's way."""
    page.evaluate(AXE.read_text())
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 740})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}_{width}_{scheme}.png", full_page=True)
        if (width, scheme) in LOOKS[:2]:
            found = page.evaluate("axe.run().then((one) => one.violations.map((each) => each.id))")
            assert (name, found) == (name, [])


def chosen_by_chance(task, scores):
    """The task is one of an allocation."""
    columns = {"method": "design", "wanted": 1, "control": 0.5, "seed": 0}
    made = Allocation.objects.create(project=task.project, scores=scores, **columns)
    told = {"chance": 0.5, "information": 0.1, "entropy": 0.6}
    ChosenTask.objects.create(task=task, allocation=made, chosen_by="control", **told)


@pytest.mark.slow
def test_a_disagreement_is_found_settled_and_used_as_a_check(
    live_server, rita, project, disputed, var
):
    measure_now(project)
    rita.goto(f"{live_server.url}{reverse('quality:report', args=[project.pk])}")
    expect(rita.get_by_role("heading", name="Agreement")).to_be_visible()
    fits(rita, "report")
    rita.get_by_role("link", name="Disagreements").press("Enter")
    fits(rita, "disagreements")
    rita.get_by_role("link", name=disputed.prompt.text).press("Enter")
    fits(rita, "disagreement")
    rita.get_by_role("button", name="A is better", exact=True).press("Enter")
    expect(rita.get_by_text("Decided.")).to_be_visible()
    rita.get_by_label("What people hear of it").fill("It is kinder.")
    rita.get_by_role("button", name="Check people with this task").press("Enter")
    expect(rita.get_by_text("It is a check now")).to_be_visible()
    fits(rita, "decided")
    assert Gold.objects.get().verdict == "0>1"
    rita.get_by_role("link", name="Checks", exact=True).press("Enter")
    expect(rita.get_by_role("link", name=disputed.prompt.text)).to_be_visible()
    fits(rita, "checks")
    rita.goto(f"{live_server.url}{reverse('labeling:tasks', args=[project.pk])}")
    fits(rita, "tasks")
    chosen_by_chance(disputed, some_proposals(project, var, []))
    rita.goto(f"{live_server.url}{reverse('quality:allocation', args=[project.pk])}")
    expect(rita.get_by_text("Too few runs tell what more labels are worth")).to_be_visible()
    fits(rita, "teaching")
