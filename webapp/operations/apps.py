"""The app that sees all programs at once."""

from django.apps import AppConfig
from django.core.checks import register

from webapp.operations.checks import environment_known


class OperationsConfig(AppConfig):
    """What it has to say of the environment is said by `manage.py check`."""

    name = "webapp.operations"

    def ready(self) -> None:
        """Register what is checked."""
        register(environment_known)
