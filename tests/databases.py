"""Databases with all tables and no rows: made by migrations once, and kept until one of these changes."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from tests import postgres

ROOT = Path(__file__).parents[1]
OURS = re.compile(
    rb"^from (webapp[\w.]+) import", re.MULTILINE
)  # what migrations take from other modules


def migrate(place: Path, kept: Path) -> None:
    """Make one there, as a file of SQLite; it is there when it is whole."""
    half = place.with_suffix(".half")
    if (known := kept / f"{digest()}.sqlite3").exists():
        shutil.copy(known, half)
    else:
        with named(str(half)):
            call_command("migrate", verbosity=0)
        keep(half, known)
    half.rename(place)


def migrate_on_server(name: str, kept: Path) -> None:
    """Make one of that name on the server, which others are copied from."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")  # of tests before
        cursor.execute(f"CREATE DATABASE {name}")
    known = kept / f"{digest()}.sql"
    if known.exists():
        on_server("psql", name, "--quiet", "--set", "ON_ERROR_STOP=1", "--file", known)
        return
    with named(name):
        call_command("migrate", verbosity=0)
    if postgres.binaries():
        on_server("pg_dump", name, "--file", half := kept / f"{name}.half")
        keep(half, known)
        half.unlink()


def digest() -> str:
    """Of all that makes an empty database what it is: migrations, what these import, and who runs them."""
    found = sha256(f"{django.__version__} {connection.vendor} {version()}".encode())
    for app in apps.get_app_configs():
        for path in sorted(Path(app.path, "migrations").glob("*.py")):
            text = path.read_bytes()
            found.update(text)
            for module in OURS.findall(text):
                found.update(
                    (ROOT / module.decode().replace(".", "/")).with_suffix(".py").read_bytes()
                )
    return found.hexdigest()


def version() -> str:
    """Of the database's program."""
    if connection.vendor == "sqlite":
        return sqlite3.sqlite_version
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        return str(cursor.fetchone()[0])


def keep(half: Path, known: Path) -> None:
    """Keep a copy for the next time, and none of before."""
    for path in known.parent.glob(f"*{known.suffix}"):
        path.unlink()
    shutil.copy(half, aside := known.with_suffix(f".{os.getpid()}"))
    aside.rename(known)


def on_server(program: str, name: str, *arguments: object) -> None:
    """Run one of PostgreSQL's own programs on a database of the server."""
    one = connection.settings_dict
    place = f"postgresql://{one['USER']}:{one['PASSWORD']}@{one['HOST']}:{one['PORT']}/{name}"
    command = [str(postgres.binaries() / program), "--dbname", place, *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


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
