"""Tokens: made, kept as a hash, used, ended."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from tests.factories import a_user, again
from tests.webapp.addresses import client_with, session_of
from tests.webapp.api.programs import Program
from webapp.accounts.roles import Role
from webapp.api.models import Token
from webapp.api.scopes import SCOPES, Scope, scope_of, scopes_for
from webapp.api.tokens import MOST, TokenError, find_token, make_token, note_use, revoke_token
from webapp.people.services import deactivate, reactivate
from webapp.projects.access import Action

pytestmark = pytest.mark.once


def test_only_the_hash_of_a_token_is_kept(admin):
    secret = make_token(admin, name="nightly", scopes=["read"])
    row = admin.tokens.get()
    assert find_token(secret) == row
    assert secret not in str(vars(row))
    assert find_token(secret[:-1]) is None


@pytest.mark.twice
@pytest.mark.parametrize("secret", ["", "attune_", "\0", "é", "x" * 10_000, "\ud800"])
def test_what_was_never_given_opens_nothing(admin, secret):
    make_token(admin, name="nightly", scopes=["read"])
    assert find_token(secret) is None


def test_a_token_ends_on_its_day_and_when_it_is_revoked(admin):
    yesterday = timezone.now() - timedelta(days=1)
    assert find_token(make_token(admin, name="old", scopes=["read"], ends_at=yesterday)) is None
    secret = make_token(
        admin, name="new", scopes=["read"], ends_at=timezone.now() + timedelta(days=1)
    )
    revoke_token(find_token(secret))
    assert find_token(secret) is None


def test_the_tokens_of_a_deactivated_person_end_for_good(project, admin):
    person = a_user(project, Role.RESEARCHER)
    secret = make_token(person, name="nightly", scopes=["read"])
    deactivate(person, by=admin)
    assert find_token(secret) is None
    reactivate(again(person), by=admin)
    assert find_token(secret) is None
    assert find_token(make_token(again(person), name="new", scopes=["read"]))


def test_nobody_has_tokens_without_end(admin):
    for _ in range(MOST):
        make_token(admin, name="one", scopes=["read"])
    with pytest.raises(TokenError, match="revoke some"):
        make_token(admin, name="one more", scopes=["read"])


def test_a_use_is_kept_to_the_minute(admin, django_assert_num_queries):
    token = find_token(make_token(admin, name="nightly", scopes=["read"]))
    note_use(token)
    first = again(token).last_used_at
    note_use(token)
    assert again(token).last_used_at == first


def test_a_scope_is_offered_where_some_role_may_use_it(project):
    offered = {role: scopes_for(a_user(project, role)) for role in Role}
    assert offered[Role.ANNOTATOR] == [Scope.READ, Scope.LABEL, Scope.DATA]
    assert offered[Role.RESEARCHER] == [*offered[Role.ANNOTATOR], Scope.TRAIN]
    assert offered[Role.ADMIN] == list(Scope)
    assert scopes_for(a_user()) == [Scope.READ]


def test_an_action_without_a_scope_asks_for_the_widest():
    assert scope_of(Action.MANAGE_MEMBERS) == Scope.ADMIN
    assert Action.MANAGE_MEMBERS not in SCOPES


@pytest.mark.twice
def test_the_page_shows_a_new_token_once(admin):
    browser = client_with(session_of(admin))
    sent = {"name": "nightly", "scopes": ["read", "label"], "last_day": "2999-01-01"}
    shown = browser.post("/accounts/tokens/", sent).content.decode()
    secret = shown.partition('class="secret">')[2].partition("<")[0]
    token = find_token(secret)
    assert (token.name, token.scopes, token.ends_at.year) == ("nightly", ["read", "label"], 2999)
    later = browser.get("/accounts/tokens/").content.decode()
    assert "nightly" in later
    assert secret not in later


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"scopes": []},
        {"scopes": ["all"]},
        {"last_day": "2020-01-01"},
        {"last_day": "9999-12-31"},
    ],
)
def test_the_page_refuses_what_is_no_token(admin, wrong):
    browser = client_with(session_of(admin))
    answer = browser.post("/accounts/tokens/", {"name": "n", "scopes": ["read"]} | wrong)
    assert answer.status_code == 200
    assert 'class="error"' in answer.content.decode()
    assert not Token.objects.exists()


def test_people_revoke_their_own_tokens_alone(project, admin):
    make_token(admin, name="nightly", scopes=["read"])
    token = admin.tokens.get()
    path, sent = "/accounts/tokens/", {"revoke": token.pk}
    other = client_with(session_of(a_user(project, Role.ADMIN)))
    assert other.post(path, sent).status_code == 404
    assert other.post(path, {"revoke": "9" * 30}).status_code == 404
    assert again(token).revoked_at is None
    assert client_with(session_of(admin)).post(path, sent).status_code == 302
    assert again(token).revoked_at


def test_a_token_opens_no_page_and_a_session_no_address_of_the_interface(program, project):
    page = client_with(None).get(
        f"/p/{project.pk}/", headers={"Authorization": f"Bearer {program.token}"}
    )
    assert page.status_code == 302
    answer = client_with(session_of(program.person)).get("/api/v1/projects")
    assert answer.status_code == 401
    assert not answer.cookies


def test_an_answer_sets_no_cookie_and_wants_none(program):
    answer = program.get("/projects")
    assert answer.status_code == 200
    assert not answer.cookies
    assert "Cookie" not in answer.get("Vary", "")


@pytest.mark.twice
def test_wrong_tokens_are_limited_as_failed_sign_ins_are_and_right_ones_never(program):
    cache.clear()
    wrong = Program("attune_wrong")
    assert {wrong.get("/projects").status_code for _ in range(10)} == {401}
    limited = wrong.get("/projects")
    assert (limited.status_code, limited["Retry-After"]) == (429, "60")
    assert limited.json()["kind"] == "limit"
    assert program.get("/projects").status_code == 200
    cache.clear()
