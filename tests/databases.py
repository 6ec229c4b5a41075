"""Databases with all tables and no rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management import call_command
from django.db import connection


def migrate(place: Path) -> None:
    """Make one there, as a file of SQLite; it is there when it is whole."""
    half = place.with_suffix(".half")
    with named(str(half)):
        call_command("migrate", verbosity=0)
    half.rename(place)


def migrate_on_server(name: str) -> None:
    """Make one of that name on the server, which others are copied from."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")  # of tests before
        cursor.execute(f"CREATE DATABASE {name}")
    with named(name):
        call_command("migrate", verbosity=0)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Work on the database of that name, and leave no connection to it."""
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before
