"""Refusals in one shape, whatever refuses."""

import sqlite3

import pytest
from django.db import OperationalError, connection

from tests.webapp.addresses import client_with

SHAPE = {"error", "kind", "fields"}


def refused(answer, status, kind):
    """Whether it is in the shape, in words."""
    said = answer.json()
    return (answer.status_code, set(said), said["kind"]) == (status, SHAPE, kind) and said["error"]


def test_each_refusal_is_told_in_the_shape(program, project):
    at = f"/projects/{project.pk}"
    assert refused(program._replace(token="").get("/projects"), 401, "token")
    assert refused(program.get("/projects/999999"), 404, "missing")
    assert refused(program.get("/projects/x"), 422, "invalid")
    assert refused(program.post(f"{at}/snapshots"), 409, "refused")
    assert refused(program.post(f"{at}/prompts", {"prompts": [], "more": 1}), 422, "invalid")
    assert refused(program.ask("PUT", at), 405, "method")
    fields = program.post(f"{at}/prompts", {"prompts": [], "more": 1}).json()["fields"]
    assert set(fields) == {"prompts", "more"}


@pytest.mark.once
@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "k"}])
def test_a_body_that_is_no_json_or_too_large_is_refused(program, project, settings, key):
    path = f"/projects/{project.pk}/prompts"
    assert refused(program.post(path, "words", **key), 422, "invalid")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert refused(program.post(path, {"prompts": ["x" * 20]}, **key), 413, "large")


@pytest.mark.once
def test_words_that_are_no_json_are_unread(program, project):
    headers = {"Authorization": f"Bearer {program.token}"}
    path = f"/api/v1/projects/{project.pk}/prompts"
    answer = client_with(None).generic("POST", path, b"\xff{", "application/json", headers=headers)
    assert refused(answer, 400, "unread")


@pytest.mark.once
@pytest.mark.parametrize(
    "header", ["", "Basic eDp5", "Bearer", "Bearer ", "bearer attune_x", "Bearer é", "Bearer a b"]
)
def test_what_is_no_token_is_nobodys(db, header):
    answer = client_with(None).get("/api/v1/projects", headers={"Authorization": header})
    assert answer.status_code in (401, 429)
    assert set(answer.json()) == SHAPE


def test_a_database_that_is_away_is_told_as_such(program):
    def away(*_):
        cause = sqlite3.OperationalError("unable to open database file")
        cause.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise OperationalError from cause

    with connection.execute_wrapper(away):
        answer = program.get("/projects")
    assert refused(answer, 503, "database_away")
    assert answer["Retry-After"]
