"""`manage.py setup_link`: a new one-time link that makes the first admin."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.urls import reverse

from webapp.accounts.models import OneTimeLink, User, new_link
from webapp.machine.commands import OneTask


class Command(OneTask):
    """Print a link for the first admin, which works once."""

    help = "Print a one-time link that creates an admin account."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where the dashboard answers, and whether another admin is wanted."""
        parser.add_argument("--url", default="", help="address of the dashboard, to print before")
        parser.add_argument("--force", action="store_true", help="even when there is an admin")

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Print the link; refuses when there is an admin already."""
        if User.objects.filter(is_superuser=True).exists() and not options["force"]:
            raise CommandError("There is an admin already; --force makes a link for another one.")
        path = reverse("accounts:setup", args=[new_link(OneTimeLink.Purpose.SETUP)])
        self.stdout.write(f"{options['url'].rstrip('/')}{path}")
