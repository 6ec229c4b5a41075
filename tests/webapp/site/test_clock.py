"""Leases, links and rings go by the database's clock: whose own is wrong takes nothing from anybody."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from tests.factories import a_label, a_project, a_user, again, some_tasks
from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.accounts.roles import Role
from webapp.labeling import queue, services
from webapp.labeling.models import Assignment, Label
from webapp.labeling.queries import labelled_today
from webapp.site.clock import midnight

WEBAPP = Path(__file__).parents[3] / "webapp"
OWN_CLOCK = re.compile(r"\btimezone\.now\(|\btime\.time\(|\bdatetime\.now\(|\bexpires=")
# Who may ask its own clock, and why nobody else's is compared with it.
ALLOWED = {
    "machine/keeper.py": "shown to people, written and read on one machine",
    "runs/workers.py": "part of a name",
    "site/clock.py": "how far a time zone is from UTC, which changes twice a year",
    "operations/backups.py": "written on a backup for people",
    "datasets/intake.py": "says of imported rows when they came",
    "datasets/standins.py": "of a lease that is over",
    "labeling/written.py": "of a lease that is over",
    "webhooks/deliveries.py": "when a message is sent, by the standard of its signature",
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


@pytest.mark.parametrize(
    "zone", ["", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati", "Asia/Kolkata"]
)
def test_a_day_begins_at_midnight_where_somebody_is(db, zone):
    began = User.objects.annotate(began=midnight(zone)).values_list("began", flat=True)
    a_user()
    local = began.get().astimezone(ZoneInfo(zone or "UTC"))
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
    assert local.date() == datetime.now(ZoneInfo(zone or "UTC")).date()


def test_labels_of_today_are_counted_by_the_day_of_their_person(project):
    """Two zones 25 hours apart: whatever the hour, it is another day in one of them than in the other."""
    ana = a_user(project, Role.ANNOTATOR)
    label = a_label(*some_tasks(project), annotator=ana)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kolkata"):
        here = datetime.now(ZoneInfo(zone))
        began = here.replace(hour=0, minute=0, second=0, microsecond=0)
        ana.time_zone = zone
        for given, counted in (
            (began + timedelta(seconds=1), 1),
            (began - timedelta(seconds=1), 0),
        ):
            Label.objects.filter(pk=label.pk).update(created_at=given)
            assert labelled_today(ana, project) == counted


def test_no_module_compares_its_own_clock_with_what_another_wrote():
    found = {
        str(path.relative_to(WEBAPP))
        for path in WEBAPP.rglob("*.py")
        if "migrations" not in path.parts and OWN_CLOCK.search(path.read_text())
    }
    assert found == set(ALLOWED)
