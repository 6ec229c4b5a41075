"""What an admin and a researcher see of the programs of the machine."""

import time

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.disks import fill
from tests.factories import a_user
from webapp.accounts.roles import Role
from webapp.machine import programs
from webapp.machine.programs import Report

pytestmark = pytest.mark.once
PAGES = ("project", "runs:list")


def report(name, state, restarts=0, ended=""):
    return Report(name, state, time.time(), restarts, ended, f"/var/attune/logs/{name}.log")


@pytest.fixture
def told(var, monkeypatch):
    """Say how programs do, as a keeper does."""

    def tell(*reports):
        place = var / "programs.json"
        monkeypatch.setenv(programs.PLACE, str(place))
        programs.write(place, reports)

    return tell


@pytest.fixture
def page(client, project):
    def get(name):
        client.force_login(a_user(project, Role.ADMIN))
        return client.get(reverse(name, args=[project.pk]))

    return get


@pytest.mark.parametrize("name", PAGES)
def test_programs_are_shown_with_how_often_and_where_they_log(page, told, name):
    told(report("web", "running"), report("tend", "waiting", 3, "signal SIGKILL"))
    shown = page(name)
    for words in ("running", "starts again", "signal SIGKILL", "/var/attune/logs/tend.log"):
        assertContains(shown, words)
    assertNotContains(shown, 'role="alert"')


@pytest.mark.parametrize("name", PAGES)
def test_a_program_that_loops_is_a_notice(page, told, name):
    told(report("worker", "looping", 4, "exit status 1"))
    shown = page(name)
    assertContains(shown, "ends again and again")
    assertContains(shown, "started again 4 times")
    assertContains(shown, "/var/attune/logs/worker.log")
    assertContains(shown, 'role="alert"')


@pytest.mark.parametrize("name", PAGES)
def test_a_web_that_nobody_keeps_says_so(page, monkeypatch, name):
    monkeypatch.delenv(programs.PLACE, raising=False)
    assertContains(page(name), "Nobody keeps this web program")


def test_what_was_said_before_is_written_over_whole(told, var):
    told(*[report(f"program-{number}", "running") for number in range(20)])
    told(report("web", "running"))
    assert [row.name for row in programs.read()] == ["web"]


def test_a_disk_that_is_full_takes_new_words_in_the_old_place(told, small_disk, monkeypatch):
    place = small_disk / "programs.json"
    monkeypatch.setenv(programs.PLACE, str(place))
    programs.write(place, [report("web", "running")])
    fill(small_disk)
    programs.write(place, [report("web", "waiting"), report("tend", "looping")])
    assert [row.state for row in programs.read()] == ["waiting", "looping"]


def test_an_admin_is_told_that_the_disk_is_full(page, small_disk, settings):
    settings.STORE = small_disk
    fill(small_disk)
    assertContains(page("project"), "The disk is full")
