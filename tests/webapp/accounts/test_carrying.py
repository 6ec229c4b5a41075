"""A link's token leaves the address at once, and is where nobody else reads it."""

from http.cookies import SimpleCookie

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_user
from tests.webapp.addresses import look, use
from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.accounts.roles import Role
from webapp.people import carrying, links

WORDS = {
    "username": "mia",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
}
PAGES = {"setup": "setup_page", "invitation": "invitation_page", "reset": "reset_page"}


@pytest.fixture
def admin(project):
    return a_user(project, Role.ADMIN, username="ada")


@pytest.fixture
def tokens(project, admin):
    """A token of each kind."""
    ana = a_user(project, Role.ANNOTATOR, username="ana")
    return {
        "setup": new_link(OneTimeLink.Purpose.SETUP),
        "invitation": links.invite(project, Role.ANNOTATOR, by=admin),
        "reset": links.reset_link(ana, by=admin),
    }


def address(kind, token):
    return reverse(f"accounts:{kind}", args=[token])


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("method", ["get", "head"])
def test_what_is_looked_at_has_no_token_in_it(client, tokens, kind, method):
    token = tokens[kind]
    answer = getattr(client, method)(address(kind, token))
    assert answer.status_code == 302
    assert token not in answer["Location"]
    page = client.get(answer["Location"])
    assert page.status_code == 200
    assert token not in page.content.decode() + str(page.headers)


@pytest.mark.once
@pytest.mark.parametrize("kind", PAGES)
def test_its_cookie_goes_to_that_page_alone_and_to_no_script(client, tokens, kind, settings):
    settings.SESSION_COOKIE_SECURE = True
    answer = client.get(address(kind, tokens[kind]))
    cookie = answer.cookies[carrying.COOKIE + carrying.name_of(tokens[kind])]
    assert cookie["path"] == answer["Location"] != "/"
    assert cookie["httponly"]
    assert cookie["secure"]
    assert cookie["samesite"] == "Lax"
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.once
@pytest.mark.parametrize("kind", PAGES)
def test_a_program_that_looks_at_links_uses_none_up_and_stores_nothing(client, tokens, kind):
    for method in ("head", "get", "head"):
        getattr(Client(), method)(address(kind, tokens[kind]), follow=True)
    assert not Session.objects.exists()
    assert look(client, address(kind, tokens[kind])).status_code == 200


@pytest.mark.once
@pytest.mark.parametrize("kind", PAGES)
def test_the_page_alone_opens_nothing(client, tokens, kind):
    page = client.get(address(kind, tokens[kind]))["Location"]
    for answer in (Client().get(page), Client().post(page, WORDS)):
        assertContains(answer, "Open your link once more", status_code=410)
    stranger = Client()
    stranger.cookies = SimpleCookie({carrying.COOKIE + page.split("/")[3]: "guess"})
    assert stranger.post(page, WORDS).status_code == 410
    assert not User.objects.filter(username="mia").exists()


def test_two_links_are_open_in_two_tabs(client, project, admin):
    urls = [
        address("invitation", links.invite(project, role, by=admin))
        for role in ("admin", "researcher")
    ]
    first, second = (client.get(url)["Location"] for url in urls)
    assertContains(client.get(first), "invited as admin")
    assertContains(client.get(second), "invited as researcher")
    assert client.post(first, WORDS).status_code == 302
    assert project.memberships.get(user__username="mia").role == Role.ADMIN


def test_one_link_in_two_tabs_works_once(client, tokens):
    page = client.get(address("invitation", tokens["invitation"]))["Location"]
    other = Client()
    again = other.get(address("invitation", tokens["invitation"]))["Location"]
    assert client.post(page, WORDS).status_code == 302
    assert not {name for name, one in client.cookies.items() if "link" in name and one.value}
    assertContains(other.post(again, WORDS), "used already", status_code=410)
    assertContains(client.post(page, WORDS), "until it was used", status_code=410)


@pytest.mark.once
def test_a_form_that_is_sent_to_the_link_itself_goes_on_to_its_page(client, tokens):
    answer = client.post(address("setup", tokens["setup"]), WORDS)
    assert answer.status_code == 307
    assert tokens["setup"] not in answer["Location"]
    assert client.post(answer["Location"], WORDS).status_code == 302


def test_who_is_signed_in_as_somebody_else_may_sign_out_first(tokens, project):
    browser = Client()
    browser.force_login(User.objects.get(username="ana"))
    page = browser.get(address("invitation", tokens["invitation"]))["Location"]
    assertContains(browser.get(page), "I am somebody else")
    out = browser.post(reverse("account_logout"), {"next": page}, follow=True)
    assertContains(out, "Create my account and join")
    assert browser.post(page, WORDS).status_code == 302
    assert project.memberships.filter(user__username="mia").exists()


@pytest.mark.once
def test_a_new_password_signs_in_whose_it_is_whoever_was_signed_in(tokens, admin):
    browser = Client()
    browser.force_login(admin)
    words = {"new_password1": "glad-tidings-9", "new_password2": "glad-tidings-9"}
    page = use(browser, address("reset", tokens["reset"]), words, follow=True)
    assert page.context["user"].username == "ana"


@pytest.mark.parametrize("token", ["é", "a;b", "%0d%0aSet-Cookie:x", '"', "x" * 200, "link"])
def test_what_is_no_token_is_carried_nowhere(client, db, token):
    answer = client.get(f"/join/{token}/")
    assert answer.status_code == 410
    assert not [name for name in answer.cookies if name.startswith(carrying.COOKIE)]
