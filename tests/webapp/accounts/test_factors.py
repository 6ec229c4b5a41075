"""A second factor: set up, asked for at each sign-in, lost and forgotten."""

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_user
from tests.webapp.addresses import use
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.models import AuditEntry
from webapp.people import links

pytestmark = pytest.mark.once

PASSWORD = "correct horse battery"  # of a test
SIGN_IN = {"login": "ana", "password": PASSWORD}


def code_of(secret):
    """What the app shows now."""
    return format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[1]))


@pytest.fixture
def ana(project):
    return a_user(project, Role.ANNOTATOR, username="ana", password=PASSWORD)


@pytest.fixture
def signed_in(ana, client):
    """Her browser, in which she has signed in and said once more who she is."""
    client.post(reverse("account_login"), SIGN_IN)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    return client


@pytest.fixture
def secret(signed_in, django_capture_on_commit_callbacks):
    """The key that her app has read, as she set the factor up."""
    url = reverse("mfa_activate_totp")
    page = signed_in.get(url)
    assertContains(page, "data:image/svg+xml;base64,")
    secret = page.context["form"].secret
    assertContains(signed_in.post(url, {"code": "000000"}), 'class="error"')
    with django_capture_on_commit_callbacks(execute=True):  # it is told of then
        made = signed_in.post(url, {"code": code_of(secret)})
    assertRedirects(made, reverse("mfa_view_recovery_codes"))
    cache.clear()  # allauth takes no code twice, and the next one comes in half a minute
    return secret


def test_a_password_alone_signs_in_no_more(secret, ana):
    browser = Client()
    asked = browser.post(reverse("account_login"), SIGN_IN)
    assertRedirects(asked, reverse("mfa_authenticate"))
    home = reverse("home")
    assert browser.get(home).status_code == 302
    assertContains(browser.post(asked.url, {"code": "000000"}), 'class="error"')
    browser.post(asked.url, {"code": code_of(secret)})
    assert browser.get(home, follow=True).context["user"] == ana


def test_a_code_is_guessed_at_only_a_few_times(secret):
    browser = Client()
    url = browser.post(reverse("account_login"), SIGN_IN).url
    for number in range(6):
        browser.post(url, {"code": f"{number:06}"})
    browser.post(url, {"code": code_of(secret)})
    assert browser.get(reverse("home")).status_code == 302


@pytest.mark.twice
def test_a_recovery_code_works_once(secret, signed_in):
    page = signed_in.get(reverse("mfa_view_recovery_codes"))
    codes = re.findall(r'class="secret">([0-9-]+)<', page.content.decode())
    assert len(codes) == 10
    for accepted in (True, False):
        browser = Client()
        url = browser.post(reverse("account_login"), SIGN_IN).url
        browser.post(url, {"code": codes[0]})
        assert (browser.get(reverse("accounts:own_account")).status_code == 200) is accepted


def test_a_reset_link_does_not_stand_for_it(secret, ana, project):
    admin = a_user(project, Role.ADMIN)
    browser = Client()
    link = reverse("accounts:reset", args=[links.reset_link(ana, by=admin)])
    new = {"new_password1": "another horse battery", "new_password2": "another horse battery"}
    assertRedirects(use(browser, link, new), reverse("account_login"))
    assert browser.get(reverse("accounts:own_account")).status_code == 302


def test_it_is_switched_off_again(secret, signed_in):
    assertContains(signed_in.get(reverse("mfa_index")), "It is on")
    signed_in.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.exists()
    acts = set(AuditEntry.objects.values_list("act", flat=True))
    assert {Act.FACTOR_ADDED, Act.FACTOR_REMOVED} <= acts
    assertContains(signed_in.get(reverse("mfa_index")), "Set it up")


def test_who_only_has_the_open_browser_is_asked_who_they_are(ana, client):
    client.force_login(ana)  # a session without a sign-in
    page = client.get(reverse("mfa_activate_totp"), follow=True)
    assertContains(page, "Is it you?")
    assertContains(client.post(page.request["PATH_INFO"], {"password": "wrong"}), 'class="error"')
    again = client.post(
        page.request["PATH_INFO"], {"password": PASSWORD, "next": "/accounts/second/"}
    )
    assertRedirects(again, reverse("mfa_index"))


def test_an_admin_lets_somebody_in_again_who_has_lost_it(secret, ana, project, client):
    client.force_login(a_user(project, Role.ADMIN))
    member = project.memberships.get(user=ana)
    page = client.get(reverse("members", args=[project.pk]))
    assertContains(page, "Forget the second factor of ana")
    url = reverse("member", args=[project.pk, member.pk])
    page = client.post(url, {"act": "second"}, follow=True)
    assertNotContains(page, "Forget the second factor of ana")
    assert not Authenticator.objects.exists()


def test_who_does_not_manage_an_account_leaves_its_factor_alone(secret, ana, project, client):
    a_user(None)
    member = project.memberships.get(user=ana)
    member.by_name = True
    member.save()
    client.force_login(a_user(project, Role.ADMIN))
    url = reverse("member", args=[project.pk, member.pk])
    assertContains(client.post(url, {"act": "second"}, follow=True), "is not yours alone to manage")
    assert Authenticator.objects.exists()
