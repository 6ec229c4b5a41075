"""A page is in its reader's language: by choice, by this browser, or as the browser asks."""

import json
import re

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language

from tests.factories import a_user
from webapp.site import languages
from webapp.site.languages import words_of_scripts

pytestmark = [pytest.mark.django_db, pytest.mark.once]
SIGN_IN = {"en": "Sign In", "zh-hans": "登录"}


def language_of(page):
    return re.search(r'<html lang="([\w-]+)"', page.content.decode())[1]


def choose(client, language, **more):
    return client.post(reverse("accounts:language"), {"language": language} | more)


@pytest.mark.twice
@pytest.mark.parametrize(
    ("asked", "given"),
    [("zh-CN,zh;q=0.9,en;q=0.5", "zh-hans"), ("de,fr;q=0.5", "en"), ("", "en"), ("x" * 600, "en")],
)
def test_a_stranger_reads_what_the_browser_asks_for(client, asked, given):
    page = client.get(reverse("account_login"), HTTP_ACCEPT_LANGUAGE=asked)
    assert language_of(page) == given
    assert get_language() == settings.LANGUAGE_CODE  # behind the answer


def test_a_browser_remembers_the_choice_of_a_stranger(client):
    answer = choose(client, "zh-hans", next="/accounts/login/")
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")
    assert language_of(client.get(reverse("account_login"))) == "zh-hans"
    assert client.cookies[settings.LANGUAGE_COOKIE_NAME]["httponly"]


def test_a_person_s_choice_is_theirs_on_every_device(client, project):
    person = a_user(project)
    client.force_login(person)
    choose(client, "zh-hans")
    person.refresh_from_db()
    assert person.language == "zh-hans"
    client.cookies.pop(settings.LANGUAGE_COOKIE_NAME)
    page = client.get(reverse("project", args=[project.pk]), HTTP_ACCEPT_LANGUAGE="en")
    assert language_of(page) == "zh-hans"
    choose(client, "en")
    page = client.get(reverse("project", args=[project.pk]), HTTP_ACCEPT_LANGUAGE="zh-CN")
    assert language_of(page) == "en"


@pytest.mark.twice
@pytest.mark.parametrize("language", ["", "de", "xx\0", "zh-hans'"])
def test_a_language_that_nobody_translated_is_refused(client, language):
    assert choose(client, language).status_code == 400
    assert settings.LANGUAGE_COOKIE_NAME not in client.cookies


@pytest.mark.parametrize(
    "elsewhere", ["https://e.org/", "//e.org/", "javascript:alert(1)", "", "/\\e.org"]
)
def test_nobody_is_sent_elsewhere_afterwards(client, elsewhere):
    assert choose(client, "zh-hans", next=elsewhere)["Location"] == reverse("home")


def test_an_address_that_is_none_speaks_the_reader_s_language(client):
    page = client.get("/nowhere/at/all/", HTTP_ACCEPT_LANGUAGE="zh-CN")
    assert (page.status_code, language_of(page)) == (404, "zh-hans")


def test_scripts_find_their_words_on_the_page(client):
    page = client.get(reverse("account_login"), HTTP_ACCEPT_LANGUAGE="zh-CN").content.decode()
    words = json.loads(re.search(r'<script id="words"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert words["saved ✓"] == words_of_scripts("zh-hans")["saved ✓"] != "saved ✓"
    assert 'id="words"' not in client.get(reverse("account_login")).content.decode()
    assert languages.words_of_scripts(settings.LANGUAGE_CODE) == {}
