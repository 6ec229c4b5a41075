"""Names on pages: each sign that nobody would see is told, whatever page shows it."""

import html
import re

import pytest
from django.db import connection
from django.urls import reverse

from tests.factories import a_user
from tests.webapp.addresses import a_world, addresses, client_with, session_of
from webapp.accounts.models import OneTimeLink, User
from webapp.accounts.roles import Role
from webapp.artifacts.models import Artifact
from webapp.jobs.models import Job
from webapp.projects.models import Project
from webapp.rendering.names import NameField, visible
from webapp.runs.models import Run

UNSEEN = "\u202e\u200b\u2066\ufeff\x00\x1b\u3164\ud800"
HOSTILE = f"gpj.{UNSEEN}exe"
HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00\x1b\u3164]")
FIELDS = [(Project, "name"), (Artifact, "name"), (Run, "name"), (OneTimeLink, "note")]


def test_what_is_not_seen_is_told_and_all_else_stays():
    assert visible("a\u202eb") == "a[U+202E]b"
    assert visible("two\nlines\t and more") == "two lines and more"
    for name in ("plain", "naïve", "שלום", "می\u200cخ", "👩\u200d🔬", "日本　語"):
        assert visible(name) == name.replace("　", " ")


@pytest.mark.parametrize(("model", "field"), FIELDS)
def test_every_name_is_a_field_of_its_kind(model, field):
    assert isinstance(model._meta.get_field(field), NameField)


def test_a_name_is_stored_and_found_as_it_is_shown(db):
    Project.objects.create(name=HOSTILE)
    found = Project.objects.get(name=HOSTILE)
    assert not HIDDEN.search(found.name)
    assert "U+202E" in found.name
    assert Project.objects.filter(name=found.name).exists()


def test_a_name_with_more_of_it_than_there_is_room_for_is_cut(db):
    assert len(Project.objects.get(pk=Project.objects.create(name="\u202e" * 120).pk).name) == 120


def test_a_page_tells_what_a_name_of_before_hides(client, project, researcher):
    """One page; all others are looked at below."""
    hide(project.pk)
    client.force_login(researcher)
    page = html.unescape(client.get(reverse("project", args=[project.pk])).content.decode())
    assert HIDDEN.findall(page) == []
    assert "U+202E" in page


@pytest.mark.slow
def test_no_page_shows_a_name_that_it_hides(db, var):
    """Names as they lie in a database of before, on every page that can be looked at."""
    world = a_world(var)
    person = a_user(world.project, Role.ADMIN, is_superuser=True)
    hide(world.project.pk)
    client = client_with(session_of(person))
    shown = 0
    for address in addresses():
        answer = client.get(world.path(address))
        if "html" in answer.headers.get("Content-Type", "") and not answer.streaming:
            page = html.unescape(answer.content.decode())
            assert (address.name, HIDDEN.findall(page)) == (address.name, [])
            shown += "U+202E" in page
    assert shown > 20


def hide(project):
    """Write hostile names past the fields that tell them."""
    raw = HOSTILE.replace("\x00", "").replace("\ud800", "")
    for model, field in FIELDS:
        table, column = model._meta.db_table, model._meta.get_field(field).column
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {column} = %s || id", [raw])
    User.objects.update(first_name=raw)
    for job in Job.objects.filter(project=project):
        Job.objects.filter(pk=job.pk).update(payload=job.payload | {"name": raw})
