"""The ground of all apps."""

import atexit
import gc

from django.apps import AppConfig
from django.utils.translation import gettext

from alignment.seam.words import translate_by


class SiteConfig(AppConfig):
    """Ready before any program does what it is for."""

    name = "webapp.site"

    def ready(self) -> None:
        """Let sentences that the engine makes while somebody waits be in the language of who reads them.

        What is loaded stays: no program looks through it for garbage, nor at its end.
        """
        translate_by(gettext)
        gc.freeze()
        atexit.register(gc.freeze)
