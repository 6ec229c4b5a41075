"""How much somebody may send, by who they are and where they send it."""

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.urls import reverse

from tests.factories import a_user
from tests.webapp.addresses import session_of
from webapp.accounts.roles import Role
from webapp.api.tokens import make_token
from webapp.machine.bodies import FORM
from webapp.serving.admission import admitted
from webapp.serving.arrival import UNASKED


@pytest.fixture
def paths(project):
    return {
        name: reverse(name, args=[project.pk]) for name in ("datasets:import", "registry:upload")
    }


@pytest.fixture
def cookie(project):
    key = session_of(a_user(project, Role.ADMIN))
    return f"other=1; {settings.SESSION_COOKIE_NAME}={key}"


@pytest.mark.once
def test_who_is_signed_in_may_send_a_file_to_import_and_where_models_go_a_model(paths, cookie):
    assert admitted(paths["datasets:import"], cookie) == settings.IMPORT_LIMIT + FORM
    assert admitted(paths["registry:upload"], cookie) == settings.MODEL_GIB * 2**30 + FORM
    assert admitted("/accounts/login/", cookie) == settings.IMPORT_LIMIT + FORM


@pytest.mark.once
def test_a_program_with_a_token_may_send_as_much_as_its_person(paths, project):
    token = make_token(a_user(project, Role.ADMIN), name="t", scopes=["data"])
    path = f"/api/v1/projects/{project.pk}/imports"
    assert admitted(path, "", f"Bearer {token}") == settings.IMPORT_LIMIT + FORM
    for said in (f"Bearer {token}x", f"Basic {token}", token, "Bearer", ""):
        assert admitted(path, "", said) == UNASKED


@pytest.mark.parametrize("said", ["", "{}=forged", "{}", "=;=", '{}="', "\x00"])
def test_a_stranger_may_send_little(paths, said):
    said = said.format(settings.SESSION_COOKIE_NAME)
    assert {admitted(path, said) for path in paths.values()} == {UNASKED}


def test_nobody_is_taken_for_a_stranger_while_the_database_is_away(paths, cookie):
    def away(*_):
        raise OperationalError("no connection")

    with connection.execute_wrapper(away):
        assert {admitted(path, cookie) for path in paths.values()} == {None}
        assert admitted("/nowhere/", cookie) == UNASKED


@pytest.mark.once
@pytest.mark.parametrize(
    "path", ["", "/nowhere/", "nowhere", "/p/9223372036854775808/data/import/"]
)
def test_nowhere_may_little_be_sent(db, cookie, path):
    assert admitted(path, cookie) == UNASKED
