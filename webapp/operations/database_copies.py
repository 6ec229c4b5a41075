"""How each kind of database is copied out and put back, whole."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from django.db import connection


class CopyError(Exception):
    """The database's own program failed or is missing; the message says which."""


class _Engine(NamedTuple):
    """The copy's file name, and how it is written, examined and put in place."""

    file: str
    dump: Callable[[Path], None]
    check: Callable[[Path], None]
    load: Callable[[Path], None]


def dump_sqlite(target: Path) -> None:
    """A consistent copy in one read transaction; writers go on meanwhile."""
    with _sqlite(connection.settings_dict["NAME"]) as source:
        source.execute("VACUUM INTO ?", [str(target)])


@contextmanager
def _sqlite(file: str | Path) -> Iterator[sqlite3.Connection]:
    """A database of SQLite's; CopyError where it is none, is damaged, or has no room."""
    try:
        with closing(sqlite3.connect(file, timeout=60)) as database:
            yield database
    except sqlite3.Error as error:
        raise CopyError(f"The database cannot be copied: {error}.") from error


def check_sqlite(copy: Path) -> None:
    """Raise CopyError where the copy is not a sound database."""
    with _sqlite(copy) as database:
        found = database.execute("PRAGMA integrity_check").fetchone()[0]
        broken = database.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok" or broken:
        raise CopyError(f"The database in the backup is damaged: {broken or found}.")


def load_sqlite(copy: Path) -> None:
    """Put the copy in the database's place at once; the old one stays beside it."""
    connection.close()
    target = Path(connection.settings_dict["NAME"])
    target.parent.mkdir(parents=True, exist_ok=True)
    ready = target.with_name(f"{target.name}.restoring")
    try:
        shutil.copy(copy, ready)
        if target.exists():
            _keep_old(target)
        ready.replace(target)
    finally:
        ready.unlink(missing_ok=True)


def _keep_old(target: Path) -> None:
    with _sqlite(target) as old:
        try:
            old.execute("PRAGMA journal_mode=DELETE")  # no log of the old may meet the new one
            if not old.execute("SELECT 1 FROM sqlite_master").fetchone():
                return
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            for log in ("-wal", "-shm"):
                target.with_name(target.name + log).unlink(missing_ok=True)
    kept = target.with_name(f"{target.name}.before-restore")
    kept.unlink(missing_ok=True)
    os.link(target, kept)


def dump_postgres(target: Path) -> None:
    """A consistent copy by pg_dump, in its own format."""
    _postgres("pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file", str(target))


def check_postgres(copy: Path) -> None:
    """Raise CopyError where pg_restore cannot list what is in the copy."""
    _postgres("pg_restore", "--list", str(copy))


def load_postgres(copy: Path) -> None:
    """Replace everything in one transaction."""
    connection.close()
    options = ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction"]
    name = connection.settings_dict["NAME"]
    _postgres("pg_restore", *options, "--exit-on-error", "--dbname", name, str(copy))


def _postgres(program: str, *arguments: str) -> None:
    if (path := shutil.which(program)) is None:
        raise CopyError(f"There is no {program} on PATH; install PostgreSQL's client programs.")
    database = connection.settings_dict
    names = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD"}
    login = {ours: str(database[key]) for key, ours in names.items() if database.get(key)}
    environment = os.environ | login | {"PGDATABASE": database["NAME"]}
    done = subprocess.run(  # noqa: S603 - fixed programs
        [path, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CopyError(f"{program} failed: {done.stderr.strip()[-500:]}")


ENGINES = {
    "sqlite": _Engine("database.sqlite3", dump_sqlite, check_sqlite, load_sqlite),
    "postgresql": _Engine("database.pgdump", dump_postgres, check_postgres, load_postgres),
}
