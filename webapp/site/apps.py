"""The ground of all apps."""

from django.apps import AppConfig
from django.utils.translation import gettext

from alignment.seam.words import translate_by


class SiteConfig(AppConfig):
    """Sentences that the engine makes while somebody waits are in the language of who reads them."""

    name = "webapp.site"

    def ready(self) -> None:
        """From now on."""
        translate_by(gettext)
