"""The ground of all apps."""

from django.apps import AppConfig
from django.urls import register_converter
from django.utils.translation import gettext

from alignment.seam.words import translate_by
from webapp.site.converters import RowConverter


class SiteConfig(AppConfig):
    """Sentences that the engine makes while somebody waits are in the language of who reads them."""

    name = "webapp.site"

    def ready(self) -> None:
        """From now on; addresses name rows by numbers that rows can have."""
        register_converter(RowConverter, "row")
        translate_by(gettext)
