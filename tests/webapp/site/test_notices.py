"""Installations on one address: what one keeps in a browser, another neither reads nor takes away."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client

from tests.factories import a_user
from webapp.accounts.roles import Role
from webapp.projects.services import mark_of
from webapp.settings import name_from

TELLS = """
from webapp import settings
print(settings.INSTALLATION, settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)
print(settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"])
"""


def names(var, **environment):
    """What an installation puts its name into, as each of its programs has it."""
    return subprocess.run(
        [sys.executable, "-c", TELLS], cwd=settings.BASE_DIR, env=os.environ | {"ATTUNE_VAR": str(var)} | environment,
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip


@pytest.mark.slow
def test_each_installation_has_names_of_its_own_that_last(tmp_path):
    one, other = names(tmp_path / "one"), names(tmp_path / "other")
    assert names(tmp_path / "one") == one
    assert len({*one, *other}) == 8
    assert all(one[0] in name for name in one)


def test_a_name_may_be_given(tmp_path):
    given = names(tmp_path, ATTUNE_NAME="lab-2")
    assert given == ["lab-2", "session_lab-2", "csrf_lab-2", "attune-lab-2:"]


def test_a_name_does_not_tell_the_key():
    key = "k" * 50
    assert name_from(key) == name_from(key) != name_from(key + "k")
    assert key[:8] not in name_from(key)


@pytest.mark.once
@pytest.mark.parametrize("others", ["sessionid", "csrftoken", "messages"])
def test_cookies_of_another_installation_are_left_alone(project, others):
    client = Client()
    client.force_login(a_user(project))
    client.cookies[f"{others}_other"] = client.cookies[others] = "theirs"
    page = client.post(f"/p/{project.pk}/label/", {"assignment": "x"}, follow=True)
    assert page.wsgi_request.user.is_authenticated
    set_here = {name for name in client.cookies if not name.startswith(others)}
    assert all(name.endswith(settings.INSTALLATION) for name in set_here)
    assert client.cookies[others].value == "theirs"


def test_scripts_are_told_the_name_of_the_cookie(project):
    client = Client()
    client.force_login(a_user(project))
    page = client.get(f"/p/{project.pk}/label/").content.decode()
    assert f'data-csrf="{settings.CSRF_COOKIE_NAME}"' in page
    assert settings.CSRF_COOKIE_NAME in client.cookies


@pytest.mark.once
def test_a_notice_is_in_a_cookie_of_this_installation(project):
    client = Client()
    client.force_login(a_user(project, role=Role.ADMIN))
    form = {"guidelines": "Be kind.", "seen": mark_of(project.guidelines), "min_visible_ms": "0"}
    answer = client.post(f"/p/{project.pk}/guidelines/", form)
    assert answer.status_code == 302
    assert {name for name in client.cookies if "messages" in name} == {
        f"messages_{settings.INSTALLATION}"
    }
