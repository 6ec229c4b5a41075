"""The tables of a new installation, made at once.

Django's migrations make them one change after another and work out all models anew behind each: five seconds at a
first start. What they come to is what the models say, so a new file of SQLite is given that, and the record of every
migration. All others go through the migrations: a server's database is new once, and its constraints keep the names
that migrations give them.
"""

from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model


def bring_tables() -> None:
    """Make the tables of this version, or change those of an earlier one to it; raises DatabaseError."""
    if connection.vendor == "sqlite" and not connection.introspection.table_names():
        make_tables()
    call_command("migrate", verbosity=0, interactive=False)  # to new tables it adds permissions


def make_tables() -> None:
    """Make all tables as the models say, with the record of every migration, whole or not at all."""
    done = MigrationLoader(None).graph.nodes
    record = MigrationRecorder(connection).Migration
    models: list[type[Model]] = [record, *apps.get_models()]
    with connection.schema_editor() as editor:
        for model in models:
            if model._meta.managed and not model._meta.proxy and not model._meta.swapped:
                editor.create_model(model)
        record.objects.using(connection.alias).bulk_create(
            record(app=app, name=name) for app, name in done
        )
