"""Requests with an Idempotency-Key."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from tests.factories import a_user
from tests.webapp.addresses import client_with
from webapp.api.models import Answered
from webapp.api.once import KEPT, STUCK, forget_answers
from webapp.jobs.models import Job
from webapp.projects.models import Prompt

KEY = {"Idempotency_Key": "night-1"}


def prompts(*texts):
    return {"prompts": [{"messages": [{"role": "user", "content": text}]} for text in texts]}


@pytest.fixture
def path(project):
    return f"/projects/{project.pk}/prompts"


def test_the_same_again_is_answered_alike_and_done_once(program, path):
    first, again = (program.post(path, prompts("Why?"), **KEY) for _ in range(2))
    assert (first.status_code, first.json()) == (201, {"sent": 1, "added": 1})
    assert (again.status_code, again.json()) == (201, {"sent": 1, "added": 1})
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert Prompt.objects.count() == 1


def test_without_a_key_it_is_done_again(program, path):
    assert [program.post(path, prompts("Why?")).json()["added"] for _ in range(2)] == [1, 0]


def test_another_request_with_the_key_is_refused(program, path, project):
    program.post(path, prompts("Why?"), **KEY)
    for other in (
        program.post(path, prompts("How?"), **KEY),
        program.post(f"{path[:-8]}/tasks/next", **KEY),
    ):
        assert (other.status_code, other.json()["kind"]) == (409, "key")
    assert Prompt.objects.count() == 1


def test_a_key_is_its_persons_own(program, path, project):
    program.post(path, prompts("Why?"), **KEY)
    Answered.objects.update(person=a_user())
    assert program.post(path, prompts("Why?"), **KEY).json()["added"] == 0


def test_what_was_refused_may_be_mended_with_the_same_key(program, path):
    assert program.post(path, prompts(" "), **KEY).status_code == 422
    assert not Answered.objects.exists()
    assert program.post(path, prompts("Why?"), **KEY).status_code == 201


def test_a_request_that_is_being_answered_is_asked_to_wait_until_it_is_dead(program, path):
    program.post(path, prompts("Why?"), **KEY)
    Answered.objects.update(status=None)
    busy = program.post(path, prompts("Why?"), **KEY)
    assert (busy.status_code, busy.json()["kind"], busy["Retry-After"]) == (409, "busy", "1")
    Answered.objects.update(created_at=timezone.now() - STUCK - timedelta(seconds=1))
    assert program.post(path, prompts("Why?"), **KEY).json()["added"] == 0


def test_a_day_later_the_key_is_free(program, path):
    program.post(path, prompts("Why?"), **KEY)
    Answered.objects.update(created_at=timezone.now() - KEPT - timedelta(seconds=1))
    assert program.post(path, prompts("How?"), **KEY).json()["added"] == 1
    assert forget_answers() == 0
    Answered.objects.update(created_at=timezone.now() - KEPT - timedelta(seconds=1))
    assert forget_answers() == 1


@pytest.mark.parametrize("key", ["x" * 201, "a\tb"])
def test_what_is_no_key_is_refused(program, path, key):
    answer = program.post(path, prompts("Why?"), Idempotency_Key=key)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["Idempotency-Key"])


def test_a_file_is_told_by_its_bytes_and_not_by_its_boundary(program, project):
    def send(text):
        headers = {"Authorization": f"Bearer {program.token}", "Idempotency-Key": "file-1"}
        data = {"file": SimpleUploadedFile("a.jsonl", text), "format": "guess"}
        return client_with(None).post(
            f"/api/v1/projects/{project.pk}/imports", data, headers=headers
        )

    first, again, other = (send(text) for text in (b'{"prompt": "A?"}', b'{"prompt": "A?"}', b"{}"))
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert first.json() == again.json()
    assert Job.objects.count() == 1
