"""Signing in by the server of an organisation: a small real one, which knows Rita."""

import base64
import hashlib
import json
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import jwt
import pytest
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_user
from webapp.accounts.adapter import free_name
from webapp.accounts.models import User
from webapp.accounts.roles import Role

CLIENT, SECRET, PASSWORD = "attune", "kept between both", "correct horse battery"  # of a test
SIGN_IN = reverse("account_login")
ACCOUNT = reverse("accounts:own_account")


@cache
def a_key():
    """A key of a provider; it takes a while to be found."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider(ThreadingHTTPServer):
    """Signs in whoever comes, and hands out what it knows of Rita for the code that it gave."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = a_key()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.person = {"sub": "7", "preferred_username": "rita", "email": "rita@example.org"}
        self.asked: dict[str, str] = {}
        self.audience, self.refuses = CLIENT, False


class Handler(BaseHTTPRequestHandler):
    """Its addresses."""

    server: Provider

    def log_message(self, *_words):
        """Nothing."""

    def say(self, what, status=200):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        if path == "/.well-known/openid-configuration":
            names = ("authorization", "token", "userinfo")
            said = {f"{name}_endpoint": f"{self.server.url}/{name}" for name in names}
            self.say(said | {"issuer": self.server.url, "jwks_uri": f"{self.server.url}/keys"})
        elif path == "/authorization":
            self.server.asked = query
            answer = {"error": "access_denied"} if self.server.refuses else {"code": "the-code"}
            self.send_response(302)
            back = urlencode(answer | {"state": query["state"]})
            self.send_header("Location", f"{query['redirect_uri']}?{back}")
            self.end_headers()
        elif self.headers["Authorization"] == "Bearer the-token":
            self.say(self.server.person)
        else:
            self.say({}, 401)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        sent = {name: one for name, (one,) in parse_qs(self.rfile.read(length).decode()).items()}
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        proved = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        right = (sent["code"], sent["client_id"], sent["client_secret"]) == (
            "the-code",
            CLIENT,
            SECRET,
        )
        if not right or proved != self.server.asked["code_challenge"]:
            return self.say({"error": "invalid_grant"}, 400)
        times = {"iat": int(time.time()), "exp": int(time.time()) + 60}
        claims = {"iss": self.server.url, "aud": self.server.audience, **times}
        token = jwt.encode(claims | self.server.person, self.server.key, "RS256")
        return self.say({"access_token": "the-token", "token_type": "Bearer", "id_token": token})


@pytest.fixture
def provider(settings):
    """Named in the settings."""
    with Provider() as provider:
        threading.Thread(target=provider.serve_forever, args=(0.01,), daemon=True).start()
        app = settings.OIDC_APP | {"name": "Acme", "client_id": CLIENT, "secret": SECRET}
        app["settings"] = {"server_url": provider.url}
        settings.SOCIALACCOUNT_PROVIDERS = {
            "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}
        }
        yield provider
        provider.shutdown()


@pytest.fixture
def rita(project):
    return a_user(project, Role.RESEARCHER, username="rita", password=PASSWORD)


def through(client, link):
    """Where somebody is led who follows a link to the provider and comes back."""
    there = client.get(link)
    assert there.status_code == 302, there.content[:500]
    back = httpx.get(there["Location"])
    return client.get(urlsplit(back.headers["Location"])._replace(scheme="", netloc="").geturl())


def connect(client):
    client.post(SIGN_IN, {"login": "rita", "password": PASSWORD})
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    return through(client, reverse("openid_connect_login") + "?process=connect")


@pytest.mark.once
def test_where_no_server_is_named_there_is_nothing(db, client):
    assertNotContains(client.get(SIGN_IN), "Sign in by")
    assert client.get(reverse("openid_connect_login")).status_code == 404
    assert client.get(reverse("openid_connect_callback")).status_code == 404


def test_somebody_connects_their_account_and_signs_in_by_it(provider, rita, client):
    assertRedirects(connect(client), ACCOUNT)
    assertContains(client.get(ACCOUNT), "Your account is connected with it")
    browser = Client()
    assertContains(browser.get(SIGN_IN), "Sign in by Acme")
    assertRedirects(
        through(browser, reverse("openid_connect_login")), "/", fetch_redirect_response=False
    )
    assert browser.get(ACCOUNT).context["user"] == rita


@pytest.mark.once
def test_who_only_has_the_open_browser_connects_nothing(provider, rita, client):
    client.force_login(rita)
    answer = through(client, reverse("openid_connect_login") + "?process=connect")
    assertRedirects(answer, reverse("account_reauthenticate"))
    assert not SocialAccount.objects.exists()
    client.post(answer.url, {"password": PASSWORD})
    assert SocialAccount.objects.get().user == rita


@pytest.mark.once
def test_whom_no_account_is_connected_with_is_turned_away_whatever_their_address(provider, rita):
    User.objects.filter(pk=rita.pk).update(email="rita@example.org")
    browser = Client()
    answer = through(browser, reverse("openid_connect_login"))
    assertContains(browser.get(answer.url), "No account here is connected with you")
    assert browser.get(ACCOUNT).status_code == 302
    assert User.objects.count() == 1


def test_where_it_is_allowed_who_is_new_gets_an_account_of_their_own(provider, rita, settings):
    settings.OIDC_SIGNUP = True
    browser = Client()
    through(browser, reverse("openid_connect_login"))
    new = browser.get(ACCOUNT).context["user"]
    assert (new.username, new.email, new.has_usable_password()) == ("rita1", "", False)
    assert not new.memberships.exists()
    assert rita.username == "rita"


@pytest.mark.once
@pytest.mark.parametrize("wrong", ["audience", "state", "refused", "away"])
def test_what_does_not_add_up_signs_nobody_in(provider, rita, client, wrong):
    connect(client)
    browser = Client()
    if wrong == "audience":
        provider.audience = "somebody else"
    provider.refuses = wrong == "refused"
    link = reverse("openid_connect_login")
    if wrong == "away":
        provider.server_close()
        provider.shutdown()
        answer = browser.get(link)
    elif wrong == "state":
        answer = browser.get(reverse("openid_connect_callback"), {"code": "the-code", "state": "x"})
    else:
        answer = through(browser, link)
    assert answer.status_code < 500
    assert browser.get(ACCOUNT).status_code == 302


def test_a_connection_is_ended_where_a_password_is_left(provider, rita, client):
    connect(client)
    url = reverse("disconnect_provider")
    assertContains(client.post(url, follow=True), "by your password alone now")
    assert not SocialAccount.objects.exists()
    connect(client)
    rita.set_unusable_password()
    rita.save()
    client.force_login(rita)
    assertContains(client.post(url, follow=True), "no password here")
    assert SocialAccount.objects.exists()


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("Rita!", "Rita1"),
        ("", "person"),
        ("a:b c", "abc"),
        ("ада", "ада"),
        ("r\u0456ta", "person"),
        ("x" * 500, "x" * 75),
    ],
)
def test_a_name_is_taken_for_nobody_elses(rita, wanted, name):
    assert free_name(wanted) == name
