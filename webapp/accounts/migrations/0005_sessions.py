"""Sessions that name who is signed in; nobody has to sign in again."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations, models


def carry_over(apps: Apps, _schema_editor: object) -> None:
    """Copy the sessions of people who are still there."""
    people = {
        str(pk) for pk in apps.get_model("accounts", "User").objects.values_list("pk", flat=True)
    }
    kept = apps.get_model("accounts", "Session")
    for old in apps.get_model("sessions", "Session").objects.iterator():
        person = SessionStore().decode(old.session_data).get(SESSION_KEY)
        if person in people:
            columns = {
                name: getattr(old, name) for name in ("session_key", "session_data", "expire_date")
            }
            kept.objects.create(**columns, person_id=person)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_raw_view"), ("sessions", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Session",
            fields=[
                (
                    "session_key",
                    models.CharField(
                        max_length=40, primary_key=True, serialize=False, verbose_name="session key"
                    ),
                ),
                ("session_data", models.TextField(verbose_name="session data")),
                ("expire_date", models.DateTimeField(db_index=True, verbose_name="expire date")),
                (
                    "person",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
                "abstract": False,
            },
        ),
        migrations.RunPython(carry_over, migrations.RunPython.noop),
    ]
