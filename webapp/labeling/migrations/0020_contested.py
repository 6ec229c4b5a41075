"""What people disagree about is marked beside what anybody does."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Exists, OuterRef


def mark_contested(apps: Apps, _schema: BaseDatabaseSchemaEditor) -> None:
    """Mark what people who are no programs gave here, and others of them decided otherwise."""
    people = apps.get_model("labeling", "Label").objects.filter(
        superseded=False, retracted=False, imported=False, annotator__simulated=False
    )
    others = people.filter(task=OuterRef("task")).exclude(verdict=OuterRef("verdict"))
    people.filter(Exists(others), disputed=True).update(contested=True)


class Migration(migrations.Migration):
    """A column and its index."""

    dependencies = [("labeling", "0019_cursors"), ("accounts", "__first__")]
    operations = [
        migrations.AddField("label", "contested", models.BooleanField(default=False)),
        migrations.RunPython(mark_contested, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex(
            "label",
            models.Index(fields=["project", "contested", "id", "intake"], name="label_contested"),
        ),
    ]
