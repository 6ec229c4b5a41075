"""The audit log: what its rows hold, and how they are found, shown and sent as a file."""

import csv
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from pytest_django.asserts import assertContains

from tests.factories import a_project, a_run, a_user
from tests.webapp.addresses import client_with, session_of
from tests.webapp.api.programs import Program
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.api.tokens import make_token
from webapp.audit.acts import THINGS, Act
from webapp.audit.models import AuditEntry
from webapp.audit.records import LONGEST_FACT, record_act
from webapp.runs.models import State
from webapp.runs.transitions import Change, move


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def browser(admin):
    return client_with(session_of(admin))


def shown(client, project, **query):
    """The acts that the page lists."""
    page = client.get(f"/p/{project.pk}/audit/", query)
    assert page.status_code == 200
    return [row.row.act for row in page.context["rows"]]


def test_a_row_says_who_what_and_to_which_row(project, admin):
    row = record_act(Act.SNAPSHOT_FROZEN, admin, project=project.pk, about=7, number=1)
    row.refresh_from_db()
    assert (row.thing, row.number, row.facts, row.who) == ("snapshot", 7, {"number": 1}, "ada")
    assert row.created_at
    assert record_act(Act.RUN_ENDED, None).who == "attune"
    admin.by_token = (3, "robot")
    assert record_act(Act.RUN_STARTED, admin).who == "ada · robot"


def test_an_empty_log_is_not_a_filter_without_a_match(browser, project):
    AuditEntry.objects.all().delete()
    path = f"/p/{project.pk}/audit/"
    assertContains(browser.get(path), "Nothing was written yet.")
    assertContains(browser.get(path, {"about": "run"}), "Nothing matches.")


def test_a_fact_is_short(project):
    row = record_act(Act.RUN_STARTED, None, name="x" * 1000, n=None)
    assert row.facts == {"name": "x" * LONGEST_FACT, "n": None}


def test_nobody_changes_a_row(project):
    row = record_act(Act.RUN_STARTED, None)
    for change in (row.save, lambda: AuditEntry.objects.update(act="x")):
        with pytest.raises(TypeError):
            change()


def test_rows_outlast_their_project_and_their_person(admin):
    other = a_project()
    kept = [record_act(Act.RUN_STARTED, admin, project=other.pk) for _ in range(2)]
    number = other.pk
    other.delete()
    User.objects.filter(pk=admin.pk).delete()
    for row in kept:
        row.refresh_from_db()
        assert (row.project_id, row.person) == (number, None)


def test_every_act_fits_its_column_and_names_its_thing():
    longest = AuditEntry._meta.get_field("act").max_length
    assert all(len(act) <= longest and act.count(".") == 1 for act in Act)
    assert all(len(thing) <= AuditEntry._meta.get_field("thing").max_length for thing in THINGS)


def test_a_run_that_ends_is_told_by_nobody(project):
    run = a_run(project)
    assert move(run, Change((State.QUEUED,), State.FAILED, "tend"))
    assert not move(run, Change((State.QUEUED,), State.FAILED, "tend"))
    started, ended = AuditEntry.objects.filter(thing="run", number=run.pk).order_by("pk")
    assert (started.act, ended.act, ended.person) == (Act.RUN_STARTED, Act.RUN_ENDED, None)
    assert ended.facts == {"kind": run.kind, "name": run.name, "state": "failed"}


def test_the_page_finds_by_who_what_about_and_when(project, admin, browser):
    bob = a_user(project, username="bob")
    record_act(Act.RUN_STARTED, bob, project=project.pk, about=5)
    record_act(Act.RUN_ENDED, None, project=project.pk, about=5)
    record_act(Act.SNAPSHOT_FROZEN, admin, project=project.pk, about=5)
    record_act(Act.SNAPSHOT_FROZEN, admin, project=a_project().pk)
    acts = [Act.SNAPSHOT_FROZEN, Act.RUN_ENDED, Act.RUN_STARTED]
    assert shown(browser, project) == acts
    assert shown(browser, project, person=bob.pk) == [Act.RUN_STARTED]
    assert shown(browser, project, act="run.ended") == [Act.RUN_ENDED]
    assert shown(browser, project, thing="run", number=5) == acts[1:]
    assert shown(browser, project, number=6) == []
    today = AuditEntry.objects.first().created_at.date()
    assert shown(browser, project, since=today, until=today) == acts
    assert shown(browser, project, until=today - timedelta(days=1)) == []
    assert shown(browser, project, since="9999-12-31", until="9999-12-31") == []
    page = browser.get(f"/p/{project.pk}/audit/").content.decode()
    assert f'href="/p/{project.pk}/runs/5/"' in page


def test_the_file_has_what_the_page_finds_and_no_formula(project, admin, browser):
    record_act(Act.SNAPSHOT_FROZEN, admin, project=project.pk, about=5)
    admin.by_token = (3, "=HYPERLINK(1)")
    record_act(Act.RUN_STARTED, admin, project=project.pk, about=5, name="=1+1", kind="score")
    answer = browser.get(f"/p/{project.pk}/audit.csv?thing=run")
    assert answer["Content-Disposition"] == 'attachment; filename="audit.csv"'
    (row,) = csv.DictReader(b"".join(answer).decode().splitlines())
    told = ("ada", "'=HYPERLINK(1)", "run.started", "5", "kind: score; name: =1+1")
    assert tuple(row[name] for name in ("person", "via", "act", "number", "facts")) == told


def test_a_long_file_has_every_row_once_in_few_queries(
    project, browser, django_assert_max_num_queries
):
    AuditEntry.objects.bulk_create(
        AuditEntry(project=project, act=Act.RUN_ENDED, thing="run", number=n) for n in range(1201)
    )
    with django_assert_max_num_queries(8):
        lines = b"".join(browser.get(f"/p/{project.pk}/audit.csv")).decode().splitlines()
    numbers = [int(row["number"]) for row in csv.DictReader(lines)]
    assert numbers == list(range(1201))[::-1]


def test_a_page_of_the_log_is_found_by_its_index(project):
    rows = AuditEntry.objects.filter(project=project).order_by("-pk")
    for found in (
        rows,
        rows.asked(act="run.ended"),
        rows.asked(person=1),
        rows.asked(thing="run", number=5),
    ):
        plan = found[:51].explain()
        if connection.vendor == "sqlite":
            assert "audit_by_" in plan
            assert "TEMP B-TREE" not in plan


def test_superusers_see_the_log_of_all(project, admin):
    record_act(Act.TOKEN_MADE, admin)
    record_act(Act.RUN_STARTED, admin, project=project.pk)
    root = client_with(session_of(User.objects.create_superuser("root")))
    rows = root.get("/audit/").context["rows"]
    assert [row.row.act for row in rows] == [Act.SIGNED_IN, Act.RUN_STARTED, Act.TOKEN_MADE]
    assert len(b"".join(root.get("/audit.csv")).splitlines()) == 4


def test_programs_read_the_log_in_parts(project, admin):
    program = Program(make_token(admin, name="all", scopes=["read"]), admin)
    for number in range(3):
        record_act(Act.RUN_STARTED, admin, project=project.pk, about=number + 1)
    at = f"/projects/{project.pk}/audit?limit=2"
    first = program.get(at).json()
    assert [row["number"] for row in first["items"]] == [3, 2]
    assert (first["items"][0]["person"], first["items"][0]["act"]) == ("ada", "run.started")
    (last,) = program.get(f"{at}&cursor={first['next']}").json()["items"]
    assert last["number"] == 1
    assert program.get(f"{at}&number=2").json()["items"][0]["number"] == 2
    assert program.get(f"{at}&act=run.ended").json()["items"] == []
    assert program.get(f"{at}&person={admin.pk + 1}").json()["items"] == []
    assert program.get(f"{at}&since=2999-01-01").json()["items"] == []
    assert AuditEntry.objects.filter(project=project).exclude(person=F("person")).count() == 0
