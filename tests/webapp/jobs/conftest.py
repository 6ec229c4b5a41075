"""Jobs and who asks for them."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.factories import a_user
from webapp.accounts.roles import Role
from webapp.jobs.services import start_job
from webapp.machine import uploads


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def inside(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def upload(var):
    """Keep a file of these lines aside; its name there."""

    def keep(*lines):
        return uploads.keep_file(SimpleUploadedFile("rows.jsonl", "\n".join(lines).encode()))

    return keep


@pytest.fixture
def job(project, admin, upload):
    """A queued job that looks at a file of two prompts."""
    name = upload('"Why?"', '"How?"')
    payload = {"upload": name, "name": "rows.jsonl", "format": "guess"}
    return start_job(project, kind="preview", payload=payload, key=name, by=admin)
