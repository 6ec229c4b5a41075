"""The settings with a stand-in trainer, and without the protection that WITHOUT names."""

from tests.stand_in_settings import *  # noqa: F403
from webapp.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.unprotected.Unprotected"]
