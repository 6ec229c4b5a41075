"""Sweeps as a researcher starts and watches them: real browser, real programs, a toy kind of run."""

import os
import signal

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from alignment.kinds import KINDS
from tests.browser.test_rounds import PASSWORD, sign_in, violations
from tests.factories import a_project, a_sweep, a_user, again
from tests.toys.runs.descend import KIND
from webapp.runs.models import Run
from webapp.sweeps.objectives import Objective
from webapp.sweeps.space import Dimension

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.timeout(300)]
SLOW = 60_000  # ms
LOSS = Objective(source="curve", key="loss", better="smaller", watched="loss")
RATES = Dimension(name="rate", low=0.001, high=10, log=True)


@pytest.fixture(scope="module")
def toy_trainers(request):
    """Trainers that know the toy kind."""
    KINDS[KIND.name] = KIND
    yield request.getfixturevalue("trainers")
    del KINDS[KIND.name]


@pytest.fixture
def machine(stack, toy_trainers):
    stack.forked_trainers(toy_trainers).settings = "tests.toys.forked_settings"
    return stack.broker().worker().tend().web()


@pytest.fixture
def lab(transactional_db):
    return a_project(name="Lab")


@pytest.fixture
def rita(machine, lab, browser_page):
    a_user(lab, username="rita", password=PASSWORD)
    return sign_in(browser_page, machine.url, "rita")


@pytest.fixture
def form(machine, lab, rita):
    """The form of a sweep, opened from a run's that was filled in."""
    rita.goto(f"{machine.url}{reverse('runs:start', args=[lab.pk])}?kind=descend")
    rita.get_by_label("Steps").fill("9")
    rita.get_by_label("Pause").fill("0.2")  # six trials outlast several looks of the page
    rita.get_by_role("button", name="Vary this").click()
    expect(rita.get_by_role("heading", name="Start a sweep")).to_be_visible()
    assert violations(rita) == []
    return rita


def choose(page, choices):
    for label, choice in choices.items():
        page.get_by_label(label).select_option(choice)


@pytest.mark.slow
def test_a_sweep_of_six_trials_is_started_from_a_run_s_form_and_watched(machine, lab, form):
    page = form
    choose(page, {"Setting 1": "Rate", "Setting 2": "Side", "Method": "Grid: every combination"})
    page.get_by_label("Its values").nth(0).fill("0.01, 0.1, 1")
    choose(page, {"Search for": "Depth", "Better is": "Smaller"})
    expect(page.get_by_label("First rung")).to_be_hidden()  # ASHA's
    expect(page.get_by_text("6 trials of “Go down”, 1 at once")).to_be_visible()
    page.get_by_role("button", name="Start the sweep").click()
    expect(page.get_by_text("Best so far")).to_be_visible(timeout=SLOW)
    expect(page.locator("[data-parallel] canvas")).to_be_visible()  # drawn while it works
    expect(page.get_by_role("heading", name="Recommended")).to_be_visible(timeout=SLOW)
    expect(page.locator("#recommended")).to_contain_text("Rate 0.1, Side Right.")
    expect(page.locator("#trials-table tbody tr")).to_have_count(6)
    expect(page.locator("[data-against] canvas")).to_have_count(2)
    assert violations(page) == []
    assert Run.objects.filter(config__steps=9, state="succeeded").count() == 6
    page.get_by_role("link", name="Launch with these settings").click()
    expect(page.get_by_label("Rate")).to_have_value("0.1")
    page.goto(machine.url + reverse("sweeps:list", args=[lab.pk]))
    expect(page.get_by_text("6 of 6")).to_be_visible()
    assert violations(page) == []


@pytest.mark.slow
def test_asha_stops_trials_early_and_survives_dead_programs(machine, lab):
    """Worker and tend are killed on the way: no trial comes twice, none is lost."""
    search = {"method": "asha", "first_rung": 3, "reduction": 3, "trials": 9, "at_once": 2}
    config = {"steps": 27, "pause": 0.03}
    sweep = a_sweep(
        lab, RATES, kind="descend", config=config, search=search, objective=LOSS, key="race"
    )
    for number in (2, 4):
        machine.until(lambda number=number: sweep.trials.count() >= number)
        kill_hard(machine, "worker")
        kill_hard(machine, "tend")
        machine.only("broker", "web", "worker", "tend")
    machine.until(lambda: again(sweep).is_over)
    trials = list(sweep.trials.select_related("run"))
    assert [trial.number for trial in trials] == list(range(9))
    assert Run.objects.count() == 9
    assert again(sweep).state == "succeeded"
    states = [trial.state for trial in trials]
    assert {*states} == {"done", "stopped"}, states
    for trial in trials:
        if trial.state == "stopped":
            assert trial.run.state == "cancelled"
            assert trial.run.step < 27
    best = min(trials, key=lambda trial: trial.run.metrics.order_by("step").last().value)
    assert best.state == "done"


def kill_hard(machine, name):
    os.killpg(machine.running[name].pid, signal.SIGKILL)
    machine.running[name].wait()
