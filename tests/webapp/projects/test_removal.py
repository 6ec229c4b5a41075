"""Rows and files of a project whose days of grace are over, and nothing of others."""

import os
import time

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models.functions import Now

from tests.factories import an_artifact
from tests.webapp.addresses import a_world
from tests.webapp.foreign import rows_of
from webapp.artifacts.models import Artifact
from webapp.artifacts.store import drop_folder, keep
from webapp.audit.models import AuditEntry
from webapp.home import removal
from webapp.home.removal import remove_projects
from webapp.projects.models import Project
from webapp.site.clock import after

LONG_AGO = time.time() - 10 * 86400


def age(path):
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def end_grace(project):
    Project.objects.filter(pk=project.pk).update(archived_at=after(-2), delete_after=after(-1))


def counted(rows):
    """How many of these rows are there; the audit log outlasts everything."""
    return {
        model: model._base_manager.filter(pk__in=keys).count()
        for model, keys in rows.items()
        if model is not AuditEntry
    }


@pytest.mark.slow
def test_all_rows_and_files_of_one_are_removed_and_none_of_another(db, tmp_path, monkeypatch):
    monkeypatch.setattr(removal, "BATCH", 7)
    monkeypatch.setattr(removal, "TURN", 600)
    gone, stays = a_world(tmp_path / "a").project, a_world(tmp_path / "b").project
    run = gone.runs.first()
    folder = settings.STORE / "runs" / str(run.pk) / "e1"
    folder.mkdir(parents=True)
    shared = set(stays.artifacts.values_list("manifest_sha256", flat=True))
    stored = [age(one.path) for one in gone.artifacts.all() if one.manifest_sha256 not in shared]
    theirs, before = rows_of(gone), counted(rows_of(stays))
    end_grace(gone)
    assert remove_projects() == 1
    assert set(counted(theirs).values()) == {0}
    assert counted(rows_of(stays)) == before
    assert not any(path.exists() for path in (*stored, folder.parent))
    assert all(one.path.is_dir() for one in stays.artifacts.all())


def test_every_table_with_rows_of_a_project_is_known_and_nobody_is_removed(db):
    known = {model for model, _ in removal._rows_of_projects()}
    ours = [one for one in apps.get_models() if one.__module__.startswith("webapp.")]
    beside = {one._meta.label for one in ours if one not in known and one is not Project}
    people = {"accounts.User", "accounts.Session", "api.Token", "api.Answered"}
    people |= {"notifications.Subscription", "audit.AuditEntry"}
    assert beside == people | {"rendering.Rendering", "runs.Worker"}


def test_a_folder_that_another_project_has_too_stays(project, tmp_path, db):
    mine = an_artifact(project, tmp_path)
    other = Project.objects.create(name="Other")
    Artifact.objects.create(
        project=other, type=mine.type, name="same", manifest_sha256=mine.manifest_sha256, bytes=1
    )
    age(mine.path)
    end_grace(project)
    remove_projects()
    assert mine.path.is_dir()


def test_a_folder_that_somebody_has_just_stored_again_stays(project, tmp_path):
    artifact = an_artifact(project, tmp_path)
    age(artifact.path)
    assert keep(tmp_path / artifact.name) == artifact.path
    drop_folder(artifact.path)
    assert artifact.path.is_dir()
    drop_folder(age(artifact.path))
    assert not artifact.path.exists()


def test_a_turn_ends_for_other_duties_and_the_next_goes_on(project, monkeypatch):
    monkeypatch.setattr(removal, "TURN", -1)
    project.wishes.create(what="prompts", wanted=1)
    end_grace(project)
    assert remove_projects() == 0
    monkeypatch.undo()
    assert remove_projects() == 1
    assert not Project.objects.exists()


@pytest.mark.parametrize("columns", [{}, {"archived_at": Now(), "delete_after": after(60)}])
def test_what_is_kept_is_kept(project, columns):
    if columns:
        Project.objects.filter(pk=project.pk).update(**columns)
    assert remove_projects() == 0
    assert Project.objects.exists()
