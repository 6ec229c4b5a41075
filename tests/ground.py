"""Where a program that is no pytest test stands: a VAR and a database of its own, gone at its end.

The choice is made by the command line's `--database`, before Django reads its settings.
"""

import atexit
import os
import signal
import sys
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack

import django
from django.apps import apps
from django.core.management import call_command

from tests import clocks, postgres

STANDS = "GROUND_OF_PROGRAMS"  # says to programs that we start that they stand on ours
ENGINES = ("sqlite", "postgresql")
_servers: list[postgres.Server] = []


def database_option() -> ArgumentParser:
    """The option, to be a parent of a program's own."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--database", choices=ENGINES, default="sqlite", help="engine to stand on")
    return parser


def stand() -> None:
    """Make VAR and database and set Django up; inside pytest, and for our own programs, they are there."""
    if apps.ready or STANDS in os.environ:
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the end is a tidy one
    kept = ExitStack()
    atexit.register(kept.close)
    var = kept.enter_context(
        tempfile.TemporaryDirectory(prefix="attune-", ignore_cleanup_errors=True)
    )
    os.environ |= {STANDS: var, "ATTUNE_VAR": var, "DJANGO_SETTINGS_MODULE": "webapp.settings"}
    if database_option().parse_known_args()[0].database == "postgresql":
        clock = clocks.option().parse_known_args()[0].clock
        with clocks.wrong(clocks.apart(clock).servers):
            _servers.append(kept.enter_context(postgres.server(options="")))
        os.environ["DATABASE_URL"] = _servers[0].url
    else:
        os.environ["DATABASE_URL"] = f"sqlite:///{var}/attune.sqlite3"
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def server() -> postgres.Server:
    """The database server that was started here."""
    return _servers[0]


def database_pids() -> list[int]:
    """The first process of each database server that was started here."""
    return [server.pid for server in _servers]
