"""Leases, links and rings go by the database's clock: whose own is wrong takes nothing from anybody."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tests.factories import a_project, a_user, again, some_tasks
from webapp.accounts.models import OneTimeLink, new_link
from webapp.labeling import queue, services
from webapp.labeling.models import Assignment

WEBAPP = Path(__file__).parents[3] / "webapp"
OWN_CLOCK = re.compile(r"\btimezone\.now\(|\btime\.time\(|\bdatetime\.now\(|\bexpires=")
# Who may ask its own clock, and why nobody else's is compared with it.
ALLOWED = {
    "machine/keeper.py": "shown to people, written and read on one machine",
    "runs/workers.py": "part of a name",
    "operations/backups.py": "written on a backup for people",
    "datasets/intake.py": "says of imported rows when they came",
    "datasets/standins.py": "of a lease that is over",
    "labeling/written.py": "of a lease that is over",
    "api/forms.py": "whether a day that somebody chose is over",
}


@pytest.fixture(params=[-660, -90, 90, 150, 660], ids="{:+d}s".format)
def wrong(request, monkeypatch):
    """A program whose clock is wrong."""
    now = timezone.now
    skew = timedelta(seconds=request.param)
    monkeypatch.setattr("django.utils.timezone.now", lambda: now() + skew)


def test_nobodys_cards_are_taken_by_a_clock_that_is_wrong(db, wrong):
    project, ana, ben = a_project(), a_user(username="ana"), a_user(username="ben")
    some_tasks(project, 4)
    held = queue.claim_page(project, ana)
    assert services.expire_leases() == 0
    assert queue.claim(project, ben) is None
    assert {again(card).state for card in held} == {Assignment.State.LEASED}


def test_a_lease_given_by_a_clock_that_is_wrong_is_as_long_as_any(db, wrong, monkeypatch):
    project, ana = a_project(), a_user(username="ana")
    some_tasks(project, 1)
    queue.claim(project, ana)
    monkeypatch.undo()
    left = Assignment.objects.get().lease_until - timezone.now()
    assert abs(left.total_seconds() - queue.SHOWN) < 30


def test_a_link_lives_as_long_as_it_says(db, wrong):
    token = new_link(OneTimeLink.Purpose.SETUP, valid=timedelta(seconds=60))
    assert OneTimeLink.objects.opened_by(token, OneTimeLink.Purpose.SETUP).exists()


def test_no_module_compares_its_own_clock_with_what_another_wrote():
    found = {
        str(path.relative_to(WEBAPP))
        for path in WEBAPP.rglob("*.py")
        if "migrations" not in path.parts and OWN_CLOCK.search(path.read_text())
    }
    assert found == set(ALLOWED)
