"""The ground of all apps."""

import atexit
import gc

from django.apps import AppConfig
from django.urls import register_converter
from django.utils.translation import gettext

from alignment.seam.words import translate_by
from webapp.site import catalogues
from webapp.site.converters import RowConverter

COLLECTED = 20_000  # new objects between two looks for garbage: at Python's 700 they took a quarter of an import


class SiteConfig(AppConfig):
    """Ready before any program does what it is for."""

    name = "webapp.site"

    def ready(self) -> None:
        """Register what addresses are made of, and let the engine's sentences be in its reader's language.

        What is loaded stays: no program looks through it for garbage, nor at its end, and seldom through the rest.
        """
        register_converter(RowConverter, "row")
        translate_by(gettext)
        catalogues.compile_all()
        gc.freeze()
        gc.set_threshold(COLLECTED)
        atexit.register(gc.freeze)
