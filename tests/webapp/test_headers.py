"""What every answer carries against hostile pages and texts, and that nothing is done unasked."""

import logging

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client, override_settings
from pytest_django.asserts import assertContains

from tests.cases import cases
from tests.webapp.addresses import a_world, addresses, client_with, session_of
from webapp.accounts.models import User

pytestmark = pytest.mark.once

POLICY = {
    "default-src 'self'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'",
}


@pytest.fixture(scope="module")
def there(kept):
    return a_world(kept)


@pytest.fixture
def world(there, on_kept, caplog):
    caplog.set_level(logging.CRITICAL, "django")  # refusals are what is wanted
    return there


@pytest.fixture
def session(world):
    return session_of(User.objects.create_superuser("root", password="long enough"))


def lacking(response):
    """What an answer should carry and does not."""
    stated = {part.strip() for part in response.get("Content-Security-Policy", "").split(";")}
    wanted = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    return sorted(POLICY - stated) + [name for name in wanted if response.get(name) != wanted[name]]


@pytest.fixture(scope="module")
def answers(there):
    """What every address says to a superuser, and to nobody known, by its path."""
    paths = [there.path(address) for address in addresses()] + ["/nothing/here/", "/p/0/"]
    with transaction.atomic():
        known = session_of(User.objects.create_superuser("known", password="long enough"))
        found = [(path, client_with(who).get(path)) for path in paths for who in (known, None)]
        transaction.set_rollback(True)
    return found


def test_every_answer_to_a_person_is_theirs_alone(answers):
    for path, answer in answers[::2]:
        said = answer.get("Cache-Control", "")
        assert "private" in said, path
        assert {"no-cache", "no-store"} & set(said.split(", ")), path


def test_programs_look_at_nothing_before_they_get_it(world, session):
    """Of pages, `test_permissions` compares both answers whole."""
    for path in [world.path(address) for address in addresses()]:
        if path.startswith("/api/v1/"):
            assert client_with(session).head(path).status_code in (404, 405), path


def test_every_answer_carries_the_whole_set_of_headers(answers):
    assert len(answers) > 2 * len(addresses())
    assert [(path, lacking(each)) for path, each in answers if lacking(each)] == []


@cases("others", [(), ("put", "patch", "delete")], ids=["post", "others"])
def test_nothing_is_changed_without_a_token(world, session, others):
    client = client_with(session, enforce_csrf_checks=True)
    for address in addresses():
        path = world.path(address)
        by_program = path.startswith(
            ("/api/v1/", "/mcp")
        )  # no session opens it, so none can be abused
        refused = (401, 404, 405) if by_program else (403,)
        assert client.post(path).status_code in refused, address.name
        for method in others:
            assert getattr(client, method)(path).status_code in (403, 405, *refused)


def test_a_token_of_another_origin_changes_nothing(world, session):
    client = client_with(session, enforce_csrf_checks=True)
    token = client.get("/accounts/password/change/").cookies[settings.CSRF_COOKIE_NAME].value
    posted = {"csrfmiddlewaretoken": token, "role": "annotator"}
    path = world.path(next(each for each in addresses() if each.name == "invite"))
    assert client.post(path, posted).status_code == 200
    foreign = client.post(path, posted, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403


def test_cookies_stay_in_the_browser_and_on_https(world):
    assert settings.SESSION_COOKIE_HTTPONLY
    with override_settings(SESSION_COOKIE_SECURE=True, CSRF_COOKIE_SECURE=True):
        cookies = client_with(None).get("/accounts/login/").cookies
    assert cookies[settings.CSRF_COOKIE_NAME]["secure"]
    assert cookies[settings.CSRF_COOKIE_NAME]["samesite"] == "Lax"


def test_the_pages_of_a_one_time_link_are_not_kept(world):
    for address in addresses():
        if "token" in address.parts:
            assert "no-store" in client_with(None).get(world.path(address))["Cache-Control"]


def test_a_form_of_another_session_says_what_to_do(db):
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/accounts/login/", {"login": "x", "password": "y"})
    assertContains(answer, "Go back, reload the page, and send it again", status_code=403)
