"""Databases with all tables and no rows."""

from pathlib import Path

from django.core.management import call_command
from django.db import connection


def migrate(place: Path) -> None:
    """Make one there, as a file of SQLite; it is there when it is whole."""
    name, half = connection.settings_dict["NAME"], place.with_suffix(".half")
    connection.close()
    connection.settings_dict["NAME"] = str(half)
    try:
        call_command("migrate", verbosity=0)
        connection.close()
    finally:
        connection.settings_dict["NAME"] = name
    half.rename(place)
