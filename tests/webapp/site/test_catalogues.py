"""Catalogues are compiled where they are missing or older, in one move, and never keep a program from starting."""

import gettext
import logging
import os

import pytest

from webapp.site import catalogues

WRITTEN = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=1; plural=0;\\n"
msgid "pair"
msgstr "%s"
"""


@pytest.fixture
def folder(tmp_path, settings):
    settings.LOCALE_PATHS = [tmp_path]
    place = tmp_path / "zh_Hans" / "LC_MESSAGES"
    place.mkdir(parents=True)
    return place


def write(folder, word, when):
    path = folder / "django.po"
    path.write_text(WRITTEN % word, encoding="utf-8")
    os.utime(path, (when, when))


def said(folder):
    with (folder / "django.mo").open("rb") as file:
        return gettext.GNUTranslations(file).gettext("pair")


def test_what_is_missing_or_older_is_made(folder):
    write(folder, "一对", 1e9)
    catalogues.compile_all()
    assert said(folder) == "一对"
    made = (folder / "django.mo").stat().st_mtime_ns
    catalogues.compile_all()
    assert (folder / "django.mo").stat().st_mtime_ns == made  # nothing is new
    write(folder, "两个", 4e9)
    catalogues.compile_all()
    assert said(folder) == "两个"
    assert sorted(path.name for path in folder.iterdir()) == ["django.mo", "django.po"]


def test_where_nobody_may_write_it_is_logged(folder, monkeypatch, caplog):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    write(folder, "一对", 1e9)
    monkeypatch.setattr(catalogues, "NamedTemporaryFile", full)
    with caplog.at_level(logging.WARNING):
        catalogues.compile_all()
    assert "django.po cannot be compiled" in caplog.text
