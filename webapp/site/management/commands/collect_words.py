"""Bring the catalogues up to date with the words in templates, scripts and code; needs gettext's programs."""

import os
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.core.management.commands import makemessages
from django.utils.translation import to_locale

ELSEWHERE = [".venv", "node_modules", "tests", "benchmarks", "docs", "var"]
VOLATILE = (
    '"POT-Creation-Date:',
    '"Report-Msgid-Bugs-To:',
)  # of the header: new at each turn, or empty
WAYS: tuple[dict[str, Any], ...] = (
    {"domain": "django"},
    {"domain": "djangojs", "extensions": ["js"]},
)


class Collector(makemessages.Command):
    """Django's, which knows by what `alignment` marks a sentence too."""

    xgettext_options = [*makemessages.Command.xgettext_options, "--keyword=said"]
    msgmerge_options = [*makemessages.Command.msgmerge_options, "--no-fuzzy-matching"]


class Command(BaseCommand):
    """Both catalogues of each language; what is new has no translation yet, what is gone is left out."""

    help = __doc__ or ""

    def handle(self, *_arguments: str, **_options: object) -> None:
        """Write them below the first of LOCALE_PATHS."""
        os.chdir(settings.BASE_DIR)
        for way in WAYS:
            call_command(
                Collector(),
                locale=[
                    to_locale(code)
                    for code, _name in settings.LANGUAGES
                    if code != settings.LANGUAGE_CODE
                ],
                ignore_patterns=ELSEWHERE,
                no_location=True,
                no_obsolete=True,
                verbosity=0,
                **way,
            )
        for path in sorted(settings.LOCALE_PATHS[0].glob("*/LC_MESSAGES/*.po")):
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text(
                "".join(line for line in lines if not line.startswith(VOLATILE)), encoding="utf-8"
            )
