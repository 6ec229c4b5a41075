"""An admin of the project, and files that they bring."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.factories import a_user
from webapp.accounts.roles import Role


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def as_admin(client, admin):
    client.force_login(admin)
    return client


@pytest.fixture
def jsonl():
    """An uploaded file of these lines, or of these bytes."""

    def make(*lines, name="rows.jsonl"):
        content = lines[0] if isinstance(lines[0], bytes) else "\n".join(lines).encode()
        return SimpleUploadedFile(name, content)

    return make
