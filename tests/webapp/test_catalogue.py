"""Every word that a page may show is in the catalogue of every language, with the same places for values."""

import re
import shutil

import pytest
from babel.messages.pofile import read_po
from django.conf import settings
from django.core.management import call_command
from django.utils.translation import to_locale

pytestmark = pytest.mark.once

PLACES = re.compile(r"%\(\w+\)[sd]|%[sd]|\{[^{}]*\}")
LOCALES = [to_locale(code) for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
DOMAINS = ("django", "djangojs")


def catalogue(folder, locale, domain):
    """Its messages by what marks them: text, or texts of one and of many."""
    with (folder / locale / "LC_MESSAGES" / f"{domain}.po").open("rb") as file:
        return {(m.id, m.context): m for m in read_po(file, locale=locale) if m.id}


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """What is in the code today."""
    if not shutil.which("xgettext"):
        pytest.skip("words: no xgettext (gettext)")
    place = tmp_path_factory.mktemp("locale")
    for locale in LOCALES:
        (place / locale).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "LOCALE_PATHS", [place])
        patch.chdir(settings.BASE_DIR)
        call_command("collect_words")
    return place


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("locale", LOCALES)
def test_a_catalogue_holds_the_words_of_today(collected, locale, domain):
    here, there = (
        catalogue(collected, locale, domain),
        catalogue(settings.LOCALE_PATHS[0], locale, domain),
    )
    assert (
        sorted(map(str, here.keys() - there.keys())) == []
    )  # `manage.py collect_words` brings them there
    assert sorted(map(str, there.keys() - here.keys())) == []


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("locale", LOCALES)
def test_everything_is_translated_and_keeps_its_places(locale, domain):
    wrong = []
    for message in catalogue(settings.LOCALE_PATHS[0], locale, domain).values():
        first, last = (
            (message.id[0], message.id[-1]) if isinstance(message.id, tuple) else [message.id] * 2
        )
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        places = [set(PLACES.findall(text)) for text in texts]
        whole = all(texts) and not message.fuzzy and places[-1] == set(PLACES.findall(last))
        ends = all(text.startswith("\n") == first.startswith("\n") for text in texts)
        if not (whole and ends):
            wrong.append(message.id)
    assert wrong == []
